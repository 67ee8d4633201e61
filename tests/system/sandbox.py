# SPDX-License-Identifier: Apache-2.0
"""What systemd's sandbox of a service allows, without systemd as process 1.

    python3 sandbox.py UNIT COMMAND…

runs the command under the unit's capability bounding set, no_new_privs, limits,
umask and system call filters, built by libseccomp from the unit's own lines as
systemd.exec(5) describes them.  A directive that is not known here is an error,
so that nobody adds one to a unit that no test has tried."""
import ctypes
import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

SCMP_ACT_ALLOW, SCMP_ACT_ERRNO = 0x7FFF0000, 0x00050000
SCMP_CMP_NE, SCMP_CMP_EQ, SCMP_CMP_MASKED_EQ = 1, 4, 7
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
CAPABILITIES = {"CAP_DAC_READ_SEARCH": 2, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21}
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
S_ISUID, S_ISGID = 0o4000, 0o2000
# Namespaces: CLONE_NEWNS, _CGROUP, _UTS, _IPC, _USER, _PID, _NET.
NAMESPACES = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000,
              0x20000000, 0x40000000)
# What needs no rights of the process, or a name space that does not matter here.
NOT_FILTERED = {"Type", "NotifyAccess", "WatchdogSec", "ExecStart", "ExecStop",
                "ExecStopPost", "EnvironmentFile", "KillMode", "TimeoutStopSec",
                "Restart", "RestartPreventExitStatus", "RestartSec",
                "CacheDirectory", "CacheDirectoryMode", "TasksMax",
                "DevicePolicy", "DeviceAllow", "ProtectHostname",
                "SystemCallArchitectures"}
# Each would give the service a mount namespace, in which its mount would stay.
HIDES_THE_MOUNT = ("ProtectSystem", "ProtectHome", "ProtectProc", "ProcSubset",
                   "ProtectKernel", "ProtectControlGroups", "Private", "ReadOnlyPaths",
                   "ReadWritePaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths",
                   "TemporaryFileSystem", "Bind", "Root", "Mount", "DynamicUser")


class Argument(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int),
                ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


class Filter:
    """One libseccomp filter."""

    def __init__(self, default):
        self.lib = ctypes.CDLL("libseccomp.so.2")
        self.lib.seccomp_init.restype = ctypes.c_void_p
        self.lib.seccomp_init.argtypes = [ctypes.c_uint32]
        self.lib.seccomp_rule_add_array.argtypes = [
            ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint,
            ctypes.POINTER(Argument)]
        self.lib.seccomp_load.argtypes = [ctypes.c_void_p]
        self.context = self.lib.seccomp_init(default)
        self.default = default

    def add(self, action, call, *arguments):
        """arguments: (number, operation, a, b)"""
        number = self.lib.seccomp_syscall_resolve_name(call.encode())
        if number < 0:          # not of this architecture
            return
        many = (Argument * len(arguments))(*arguments)
        r = self.lib.seccomp_rule_add_array(self.context, action, number,
                                            len(arguments), many)
        if r < 0:
            raise OSError(-r, f"{call}: {os.strerror(-r)}")

    def load(self):
        r = self.lib.seccomp_load(self.context)
        if r < 0:
            raise OSError(-r, os.strerror(-r))


def denying(*rules, error=errno.EPERM):
    """A filter of (call, argument…) that are refused."""
    made = Filter(SCMP_ACT_ALLOW)
    for rule in rules:
        made.add(SCMP_ACT_ERRNO | error, *rule)
    return made


def calls_of(name):
    """The system calls of a name or an @set, as this systemd knows them."""
    if not name.startswith("@"):
        return {name}
    text = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True,
                          capture_output=True, text=True).stdout
    words = [w.strip() for w in text.splitlines()[1:]]
    return set().union(*(calls_of(w) for w in words if w and w[0] != "#"))


def system_calls(value):
    made = Filter(SCMP_ACT_ERRNO | errno.EPERM)
    for call in set().union(*map(calls_of, ["@default", *value.split()])):
        made.add(SCMP_ACT_ALLOW, call)
    return [made]


def memory(_):
    both = PROT_WRITE | PROT_EXEC
    return [denying(("mmap", (2, SCMP_CMP_MASKED_EQ, both, both)),
                    ("mprotect", (2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC)),
                    ("pkey_mprotect", (2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC)),
                    ("shmat", (2, SCMP_CMP_MASKED_EQ, SHM_EXEC, SHM_EXEC)))]


def namespaces(_):
    rules = [(call, (at, SCMP_CMP_MASKED_EQ, bit, bit)) for bit in NAMESPACES
             for call, at in (("unshare", 0), ("clone", 0), ("setns", 1))]
    return [denying(*rules, ("setns", (1, SCMP_CMP_EQ, 0, 0))),
            denying(("clone3",), error=errno.ENOSYS)]


def families(value):
    made = Filter(SCMP_ACT_ALLOW)
    wanted = {FAMILIES[name] for name in value.split()}
    for number in range(64):
        if number not in wanted:
            made.add(SCMP_ACT_ERRNO | errno.EAFNOSUPPORT, "socket",
                     (0, SCMP_CMP_EQ, number, 0))
    return [made]


def set_ids(_):
    calls = (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2),
             ("mknod", 1), ("mknodat", 2), ("open", 2), ("openat", 3), ("creat", 1))
    return [denying(*((call, (at, SCMP_CMP_MASKED_EQ, bit, bit))
                      for call, at in calls for bit in (S_ISUID, S_ISGID)),
                    ("openat2",), error=errno.EPERM)]


def clock(_):
    return [denying(("settimeofday",), ("clock_settime",), ("adjtimex",),
                    ("clock_adjtime",))]


def realtime(_):
    return [denying(*(("sched_setscheduler", (1, SCMP_CMP_EQ, n, 0)) for n in (1, 2, 6)))]


FILTERS = {"SystemCallFilter": system_calls, "MemoryDenyWriteExecute": memory,
           "RestrictNamespaces": namespaces, "RestrictAddressFamilies": families,
           "RestrictSUIDSGID": set_ids, "ProtectClock": clock,
           "RestrictRealtime": realtime,
           "LockPersonality": lambda _: [denying(("personality",
                                                  (0, SCMP_CMP_NE, 0xFFFFFFFF, 0)))]}
BIT_SUM = sum(1 << bit for bit in CAPABILITIES.values())
LIMITS = {"LimitNOFILE": resource.RLIMIT_NOFILE, "LimitCORE": resource.RLIMIT_CORE}


def service(unit):
    """(name, value) of the lines of [Service]."""
    text = Path(unit).read_text().split("[Service]\n")[1].split("\n[")[0]
    return [tuple(line.split("=", 1)) for line in text.splitlines()
            if line and line[0] != "#"]


def bound(value):
    keep = {CAPABILITIES[name] for name in value.split()}
    libc = ctypes.CDLL(None, use_errno=True)
    for cap in set(range(64)) - keep:
        libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)


def main():
    unit, *command = sys.argv[1:]
    filters = []
    for name, value in service(unit):
        if name in FILTERS:
            filters += FILTERS[name](value)
        elif name in LIMITS:
            most = resource.getrlimit(LIMITS[name])[1]
            if most == resource.RLIM_INFINITY or most > int(value):
                most = int(value)
            resource.setrlimit(LIMITS[name], (most, most))
        elif name == "CapabilityBoundingSet":
            bound(value)
        elif name == "UMask":
            os.umask(int(value, 8))
        elif name == "NoNewPrivileges":
            ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        elif name == "SystemCallErrorNumber":
            assert value == "EPERM"
        elif name not in NOT_FILTERED:
            sys.exit(f"{unit}: {name} has not been tried")
    for made in filters:
        made.load()
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
