/* floor PROCFILE: the least that running a Procfile can cost, as a rod to measure procman with. cc -O2 -o floor floor.c
 *
 * It starts each line in a session of its own (plain words directly, others by sh -c), writes "HH:MM:SS name.1 | " before
 * each line of output, and on TERM or INT sends TERM to every group and waits for the leaders. It restarts nothing,
 * keeps no history, has no socket, blocks on a slow reader, and gives up at a line over 1 MiB. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { CHUNK = 65536, LONGEST = 1 << 20, MOST = 4096, PREFIX = 96, WORDS = 256 };

struct child {
    char name[64], prefix[PREFIX];
    size_t prefix_size, held, room;
    char *partial; /* the line whose end has not come */
    time_t second; /* that the prefix was made for */
    pid_t pid;
    int pipe;
};

static struct child children[MOST];
static int known, alive, open_pipes, poller;

static void give_up(const char *what) {
    perror(what);
    exit(1);
}

static void put(const char *data, size_t size) {
    while (size) {
        ssize_t written = write(1, data, size);
        if (written < 0) give_up("floor: write");
        data += written;
        size -= (size_t)written;
    }
}

static void split(char *command, char **argv) {
    int words = 0;
    if (strpbrk(command, "|&;<>()$`\\\"'*?[]#~=%!{}")) {
        argv[words++] = "sh";
        argv[words++] = "-c";
        argv[words++] = command;
    } else {
        for (char *word = strtok(command, " \t"); word && words < WORDS - 1; word = strtok(NULL, " \t")) argv[words++] = word;
    }
    argv[words] = NULL;
}

static void start(struct child *child, char *command) {
    static char *argv[WORDS];
    int ends[2];
    split(command, argv);
    if (pipe2(ends, O_CLOEXEC)) give_up("floor: pipe");
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    if (posix_spawnp(&child->pid, argv[0], &actions, &attributes, argv, environ)) give_up(argv[0]);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(ends[1]);
    child->pipe = ends[0];
    fcntl(child->pipe, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {EPOLLIN, {.ptr = child}};
    epoll_ctl(poller, EPOLL_CTL_ADD, child->pipe, &event);
    alive++;
    open_pipes++;
}

static void keep(struct child *child, const char *data, size_t size) {
    if (child->held + size > LONGEST) exit(3);
    if (child->held + size > child->room) {
        child->room = (child->held + size) * 2;
        child->partial = realloc(child->partial, child->room);
    }
    memcpy(child->partial + child->held, data, size);
    child->held += size;
}

static char *add(char *out, const char *data, size_t size) {
    memcpy(out, data, size);
    return out + size;
}

static void copy(struct child *child) {
    static char in[CHUNK], out[CHUNK * (PREFIX + 1) + LONGEST];
    ssize_t size = read(child->pipe, in, CHUNK);
    if (size < 0) return;
    if (size == 0) {
        close(child->pipe);
        open_pipes--;
        return;
    }
    time_t now = time(NULL);
    if (now != child->second) {
        char clock[16];
        strftime(clock, sizeof clock, "%H:%M:%S", localtime(&now));
        child->prefix_size = (size_t)snprintf(child->prefix, PREFIX, "%s %-8s | ", clock, child->name);
        child->second = now;
    }
    char *to = out, *from = in, *end = in + size, *newline;
    while ((newline = memchr(from, '\n', (size_t)(end - from)))) {
        to = add(to, child->prefix, child->prefix_size);
        to = add(to, child->partial, child->held);
        to = add(to, from, (size_t)(newline + 1 - from));
        child->held = 0;
        from = newline + 1;
    }
    keep(child, from, (size_t)(end - from));
    put(out, (size_t)(to - out));
}

static void read_procfile(const char *path) {
    static char line[1 << 16];
    FILE *file = fopen(path, "r");
    if (!file) give_up(path);
    while (fgets(line, sizeof line, file) && known < MOST) {
        char *colon = strchr(line, ':');
        if (!colon) continue;
        *colon = 0;
        char *command = colon + 1 + strspn(colon + 1, " \t");
        command[strcspn(command, "\n")] = 0;
        struct child *child = &children[known++];
        snprintf(child->name, sizeof child->name, "%.60s.1", line);
        child->partial = malloc(child->room = 256);
        start(child, command);
    }
    fclose(file);
}

static void end_all(void) {
    for (int i = 0; i < known; i++)
        if (children[i].pid) kill(-children[i].pid, SIGTERM);
}

static void reap(void) {
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
        alive--;
        for (int i = 0; i < known; i++)
            if (children[i].pid == pid) children[i].pid = 0;
    }
}

int main(int argc, char **argv) {
    struct epoll_event events[256], event = {EPOLLIN, {.ptr = NULL}};
    struct signalfd_siginfo info;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    fcntl(1, F_SETPIPE_SZ, 1 << 20);
    poller = epoll_create1(EPOLL_CLOEXEC);
    int arriving = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    epoll_ctl(poller, EPOLL_CTL_ADD, arriving, &event);
    read_procfile(argc > 1 ? argv[1] : "Procfile");
    while (alive || open_pipes) {
        int count = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) {
                copy(events[i].data.ptr);
                continue;
            }
            while (read(arriving, &info, sizeof info) == sizeof info)
                if (info.ssi_signo != SIGCHLD) end_all();
            reap();
        }
    }
    return 0;
}
