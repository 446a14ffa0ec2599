/* worker MODE: the children of the harness, with nothing in them but what is measured. cc -O2 -o worker worker.c
 *   ready                 one line, then asleep; ends on TERM
 *   flood LINES LENGTH    numbered lines of LENGTH bytes in writes of 64 KiB, a last line, then asleep
 *   endless LENGTH        the same without an end
 *   pulse MILLISECONDS    a line at every beat, with the clock at which it was written
 * and two readers of a program's output, which take a tenth of the time of the program that they measure:
 *   count WRITERS LINES   the clock at the first line, then at the last line of the last writer, and how many came
 *   delays SKIP COUNT     of so many beats after the first few: nanoseconds from the beat to here
 * worker.py is the same for a machine without a compiler. Clocks are CLOCK_MONOTONIC in ns. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 65536, PIECE = 1 << 20, TOKEN = 6, LONGEST_BEAT = 32, LATE = 500 };

static void put(const char *data, size_t size) {
    while (size) {
        ssize_t written = write(1, data, size);
        if (written < 0) exit(1);
        data += written;
        size -= (size_t)written;
    }
}

static void say(const char *text) { put(text, strlen(text)); }

static void flood(long lines, size_t length) {
    static char block[BLOCK];
    char number[32];
    size_t used = 0;
    for (long i = 0; lines < 0 || i < lines; i++) {
        if (used + length > BLOCK) { put(block, used); used = 0; }
        char *line = block + used;
        memset(line, 'x', length - 1);
        line[length - 1] = '\n';
        memcpy(line, number, (size_t)snprintf(number, sizeof number, "@LINE~%010ld ", i));
        used += length;
    }
    put(block, used);
    say("@DONE~\n");
}

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void pulse(long milliseconds) {
    char line[64];
    struct timespec beat = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    for (;;) {
        snprintf(line, sizeof line, "@BEAT~%lld.\n", now());
        say(line);
        nanosleep(&beat, NULL);
    }
}

static char piece[PIECE + 1];
static size_t kept; /* bytes at its beginning that the last look left over */

/* Reads one piece behind what was kept; 0 at the end, or where nothing comes in time. */
static size_t take(int milliseconds) {
    struct pollfd input = {0, POLLIN, 0};
    if (milliseconds >= 0 && poll(&input, 1, milliseconds) <= 0) return 0;
    ssize_t size = read(0, piece + kept, PIECE - kept);
    return size > 0 ? kept + (size_t)size : 0;
}

/* What begins like a token and is not whole is looked at again with the next piece. */
static void keep(char *rest, char *end) {
    kept = rest ? (size_t)(end - rest) : 0;
    if (rest) memmove(piece, rest, kept);
}

/* Every token begins with a character that is rare: memchr does the work. */
static char *next(char *from, char *end) { return memchr(from, '@', (size_t)(end - from)); }

static int is(const char *at, const char *token) { return !memcmp(at, token, TOKEN); }

static void count(long writers, long expected) {
    long lines = 0, done = 0;
    long long last = 0;
    size_t size;
    char report[96];
    while ((done < writers || lines < expected) && (size = take(done < writers ? -1 : LATE))) {
        char *end = piece + size, *at = piece;
        int first = !lines, open = done < writers;
        for (; (at = next(at, end)) && end - at >= TOKEN; at += TOKEN) {
            lines += is(at, "@LINE~");
            done += is(at, "@DONE~");
        }
        keep(at, end);
        if (open) last = now();
        if (first && lines) {
            snprintf(report, sizeof report, "FIRST~%lld %ld\n", last, lines);
            say(report);
        }
    }
    snprintf(report, sizeof report, "TOTAL~%lld %ld\n", last, lines);
    say(report);
}

static void delays(long skip, long wanted) {
    static char report[1 << 16];
    size_t size, used = (size_t)snprintf(report, sizeof report, "TOTAL~");
    while (wanted > 0 && used < sizeof report - LONGEST_BEAT && (size = take(-1))) {
        char *end = piece + size, *at = piece;
        long long arrived = now();
        *end = 0;
        for (; (at = next(at, end)) && end - at >= LONGEST_BEAT; at += TOKEN)
            if (is(at, "@BEAT~") && skip-- <= 0 && wanted-- > 0)
                used += (size_t)snprintf(report + used, LONGEST_BEAT, "%lld ", arrived - atoll(at + TOKEN));
        keep(at, end);
    }
    report[used - 1] = '\n';
    say(report);
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (!strcmp(mode, "ready")) {
        char line[32];
        snprintf(line, sizeof line, "READY~%d.\n", getpid());
        say(line);
    } else if (!strcmp(mode, "flood") && argc == 4) {
        flood(atol(argv[2]), (size_t)atol(argv[3]));
    } else if (!strcmp(mode, "endless") && argc == 3) {
        flood(-1, (size_t)atol(argv[2]));
    } else if (!strcmp(mode, "pulse") && argc == 3) {
        pulse(atol(argv[2]));
    } else if (!strcmp(mode, "count") && argc == 4) {
        count(atol(argv[2]), atol(argv[3]));
    } else if (!strcmp(mode, "delays") && argc == 4) {
        delays(atol(argv[2]), atol(argv[3]));
    } else {
        return 2;
    }
    for (;;) pause();
}
