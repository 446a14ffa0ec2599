"""Answers as HAProxy 2.6.12 gave them, and a HAProxy in memory that gives such answers."""

from __future__ import annotations

import re

from procman.companions.balancer.answers import BackendServer, HaproxyError, Refusal, refusal

STATE_HEADER = (
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port"
)

STATE = f"""1
{STATE_HEADER}
3 web 1 web1 127.0.0.1 2 4 1 1 0 1 0 2 6 0 0 0 - 20011 - 0 0 - - 0
3 web 2 web2 127.0.0.1 2 8 1 1 1 1 0 0 14 0 0 0 - 20012 - 0 0 - - 0
3 web 3 web3 127.0.0.1 0 5 1 1 1 1 0 0 14 0 0 0 - 1 - 0 0 - - 0

"""

USED = """# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim idle_cur idle_per_thr[2]
web/web1 3/1 127.0.0.1 20011 - 5000 7 9 9 0 0 -1 0 0 0
web/web2 3/2 127.0.0.1 20012 - 5000 0 0 0 0 0 -1 0 0 0
web/web3 3/3 127.0.0.1 1 - 5000 0 0 0 0 0 -1 0 0 0

"""

STAT = """# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,rate,rate_lim,status,last_chk,
f,FRONTEND,,,5,9,9977,88,1,2,5,0,OPEN,,
web,web1,0,0,4,5,,80,1,2,3,,UP,"Layer4 ""timeout"" x",
web,BACKEND,3,8,12,20,998,88,1,2,42,,UP,,

"""

INFO = "Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nRelease_date: 2026/10/17\nNbthread: 2\nPid: 4242\nUptime: 0d\n\n"


class FakeHaproxy:
    """Does what HAProxy does with the commands that are used, in memory. `broken` is raised by everything."""

    def __init__(self, *servers: BackendServer, dynamic: bool = True) -> None:
        self.all = {server.name: server for server in servers}
        self.commands: list[str] = []
        self.broken: HaproxyError | None = None
        self.dynamic = dynamic
        self.replacing = False

    def check_version(self) -> None:
        self._fail()

    def is_replacing(self) -> bool:
        self._fail()
        return self.replacing

    def state(self) -> str:
        self._fail()
        return "1\n" + "".join(f"{s.name} {s.address} {s.port} {s.serves}\n" for s in self.all.values())

    def servers(self, backend: str) -> tuple[BackendServer, ...]:
        self._fail()
        return tuple(self.all.values())

    def change(self, command: str) -> None:
        self._fail()
        self.commands.append(command)
        refused = refusal(command, self._answer(command))
        if refused:
            raise refused

    def serving(self) -> set[int]:
        """The ports that a new request may go to."""
        return {server.port for server in self.all.values() if server.serves}

    def use(self, name: str, used: int) -> None:
        self._set(name, used=used)

    def _fail(self) -> None:
        if self.broken is not None:
            raise self.broken

    def _set(self, name: str, **values: object) -> None:
        from msgspec.structs import replace

        self.all[name] = replace(self.all[name], **values)

    def _answer(self, command: str) -> str:
        words = command.split()
        name = words[2].partition("/")[2]
        if words[:2] == ["add", "server"]:
            if not self.dynamic:
                return "Backend must use a dynamic load balancing to support dynamic servers.\n"
            if name in self.all:
                return "Already exists a server with the same name in backend.\n\n"
            host, _, port = words[3].rpartition(":")
            self.all[name] = BackendServer(
                backend="web",
                name=name,
                address=host.strip("[]"),
                port=int(port),
                running=False,
                maintenance=True,
                drain=False,
                used=0,
            )
            return "New server registered.\n\n"
        if name not in self.all:
            return "No such server.\n\n"
        if words[:2] == ["del", "server"]:
            if not self.all[name].maintenance:
                return "Only servers in maintenance mode can be deleted.\n"
            if self.all[name].used:
                return "Server still has connections attached to it, cannot remove it.\n"
            del self.all[name]
            return "Server deleted.\n"
        if words[3:4] == ["addr"]:
            old = self.all[name]
            self._set(name, address=words[4], port=int(words[6]))
            return f"no need to change the addr, port changed from '{old.port}' to '{words[6]}' by 'stats socket command'\n\n"
        if words[3:4] == ["state"]:
            assert re.fullmatch("ready|drain|maint", words[4])
            self._set(name, maintenance=words[4] == "maint", drain=words[4] == "drain", running=words[4] != "maint")
        return "\n"


def hung() -> HaproxyError:
    return HaproxyError(Refusal.HUNG, "cannot reach HAProxy on x: no answer within 1 s")


def slot(number: int, port: int = 1, *, maintenance: bool = True, drain: bool = False, used: int = 0) -> BackendServer:
    """A server of `server-template`; without a port one that waits for its first."""
    return BackendServer(
        backend="web",
        name=f"web{number}",
        address="127.0.0.1",
        port=port,
        running=not maintenance,
        maintenance=maintenance,
        drain=drain,
        used=used,
    )
