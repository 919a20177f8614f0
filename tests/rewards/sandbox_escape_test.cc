// The attack table, second half: what a tested program may try in order to see or change something of the host, or to win rights.
// ctest: TIMEOUT 600
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/rewards/sandbox_attack.h"

namespace hone {
namespace {

using Ending = SandboxResult::Ending;
using SandboxEscape = SandboxAttack;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(SandboxEscape, Network) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
            local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(listen(listener, 5), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  const std::string abstract = "hone-attack-" + std::to_string(getpid());
  abstract.copy(name.sun_path + 1, abstract.size());  // an address without a file
  const auto name_length = static_cast<socklen_t>(sizeof(sa_family_t) + 1 + abstract.size());
  ASSERT_EQ(bind(local, reinterpret_cast<sockaddr*>(&name), name_length), 0);
  ASSERT_EQ(listen(local, 5), 0);

  const SandboxResult result = Attack(R"py(
port, name = int(sys.argv[3]), sys.argv[4]
tried("tcp", lambda: socket.create_connection(("127.0.0.1", port), 1))
tried("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
tried("six", lambda: socket.socket(socket.AF_INET6))
tried("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
tried("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
tried("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
tried("dns", lambda: socket.getaddrinfo("localhost.localdomain", 80))
tried("unix", lambda: socket.socket(socket.AF_UNIX).connect("\0" + name))
tried("links", lambda: os.listdir("/sys/class/net"))
)py",
                                      {std::to_string(ntohs(address.sin_port)), abstract});
  EXPECT_THAT(result.output, HasSubstr("tcp refused EAFNOSUPPORT"));
  EXPECT_THAT(result.output, HasSubstr("vsock refused EAFNOSUPPORT"));
  EXPECT_THAT(result.output, HasSubstr("unix refused ECONNREFUSED"));
  EXPECT_THAT(result.output, HasSubstr("links refused"));
  for (const int fd : {listener, local}) {
    fcntl(fd, F_SETFL, O_NONBLOCK);
    EXPECT_EQ(accept(fd, nullptr, nullptr), -1) << "a connection came";
    close(fd);
  }
}

TEST_F(SandboxEscape, ReadsTheHost) {
  const SandboxResult result = Attack(R"py(
canary = sys.argv[2]
for path in ["/etc/shadow", "/etc/passwd", "/etc/hostname", canary, "/proc/1/root" + canary, "/proc/self/root" + canary, "/proc/self/cwd/../../.." + canary,
             "/proc/1/environ", "/proc/1/mem", "/proc/kcore", "/proc/sys/kernel/hostname", "/proc/mounts", "/sys/kernel/notes", "/dev/mem", "/dev/vda",
             "/dev/sda", "/dev/kmsg", "/dev/tty", "/boot", "/var/log/dpkg.log", "/run/utmp"]:
    tried("read " + path, lambda: read(path))
for path in ["/root", "/home", "/var", "/run", "/mnt", "/opt", "/srv", "/boot", "/sys", "/tmp/..//root", "/work/../home", "/python/../root"]:
    tried("list " + path, lambda: os.listdir(path))
print(sorted(set(os.listdir("/")) - {"bin", "sbin", "lib", "lib32", "lib64", "usr", "etc", "dev", "proc", "tmp", "work", "python"}))
print("etc", sorted(set(os.listdir("/etc")) - {"ld.so.cache", "alternatives"}))
print("dev", sorted(set(os.listdir("/dev")) - {"null", "random", "urandom", "fd", "stdin", "stdout", "stderr", "shm"}))
print(os.uname().nodename, os.getuid(), os.geteuid(), os.getgroups())
)py");
  EXPECT_THAT(result.output, HasSubstr("\n[]\netc []\ndev []\nsandbox 65534 65534 [")) << result.errors;
  EXPECT_TRUE(result.Succeeded()) << result.errors;
}

TEST_F(SandboxEscape, ReadsTheEnvironment) {
  const SandboxResult result = Attack(R"py(
print(sorted(os.environ))
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        print(pid, b"CANARY" in read(f"/proc/{pid}/environ"))
    except OSError:
        print(pid, "closed")
print("LD_PRELOAD", os.environ.get("LD_PRELOAD"))
)py");
  EXPECT_THAT(result.output, Not(HasSubstr("HONE")));
  EXPECT_THAT(result.output, Not(HasSubstr("CANARY")));
  EXPECT_THAT(result.output, HasSubstr("1 closed"));
  EXPECT_THAT(result.output, HasSubstr("LD_PRELOAD None"));
}

TEST_F(SandboxEscape, ReadsAndTracesItsParent) {
  const SandboxResult result = Attack(R"py(
host = int(sys.argv[3])
if os.path.exists(f"/proc/{host}"): host = 1 << 21  # a number of the host's that is taken in here as well
buffer = ctypes.create_string_buffer(64)
class Piece(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
mine, theirs = Piece(ctypes.addressof(buffer), 64), Piece(0x400000, 64)
for pid in [1, os.getppid(), host]:
    tried("mem", lambda: read(f"/proc/{pid}/mem"))
    tried("write mem", lambda: os.open(f"/proc/{pid}/mem", os.O_RDWR))
    tried("maps", lambda: read(f"/proc/{pid}/maps"))
    tried("attach", lambda: syscall(101, 16, pid, 0, 0))
    tried("seize", lambda: syscall(101, 0x4206, pid, 0, 0))
    tried("readv", lambda: syscall(310, pid, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0))
    tried("writev", lambda: syscall(311, pid, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0))
    tried("descriptor", lambda: os.open(f"/proc/{pid}/fd/3", os.O_WRONLY))
    tried("descriptor", lambda: os.readlink(f"/proc/{pid}/fd/3"))
    tried("take descriptor", lambda: syscall(438, os.pidfd_open(pid), 3, 0))
    tried("limits", lambda: __import__("resource").prlimit(pid, 7, (1, 1)))
    tried("processor", lambda: os.sched_setaffinity(pid, {0}))
    tried("turn", lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)))
    tried("priority", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
tried("all priorities", lambda: os.setpriority(os.PRIO_USER, 0, 19))
tried("trace me", lambda: syscall(101, 0, 0, 0, 0))
print("parent", os.getppid())
)py",
                                      {std::to_string(getpid())});
  EXPECT_THAT(result.output, HasSubstr("attach refused EPERM"));
  EXPECT_THAT(result.output, HasSubstr("readv refused EPERM"));
  EXPECT_THAT(result.output, HasSubstr("mem refused EACCES"));
  EXPECT_THAT(result.output, HasSubstr("parent 1"));
}

TEST_F(SandboxEscape, SymbolicLinks) {
  const SandboxResult result = Attack(R"py(
canary = sys.argv[2]
for number, target in enumerate([canary, "/etc/shadow", "../../../../../.." + canary, "/proc/1/root" + canary]):
    os.symlink(target, f"/tmp/link{number}")
    tried("read", lambda: read(f"/tmp/link{number}"))
    tried("write", lambda: os.open(f"/tmp/link{number}", os.O_WRONLY))
    tried("truncate", lambda: os.truncate(f"/tmp/link{number}", 0))
tried("link in work", lambda: os.symlink("/tmp", "/work/link"))
tried("hard link", lambda: os.link("/usr/bin/env", "/tmp/env"))
tried("replace program", lambda: os.rename("/work/attack.py", "/work/other.py"))
tried("change program", lambda: open("/work/attack.py", "w"))
tried("chroot", lambda: os.chroot("/tmp"))
root = os.open("/", os.O_RDONLY)
for _ in range(50): os.chdir("..")
print("root", os.stat(".").st_ino == os.fstat(root).st_ino)
)py");
  EXPECT_THAT(result.output, HasSubstr("root True")) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("link in work refused EROFS"));
}

TEST_F(SandboxEscape, WritesOutside) {
  const SandboxResult result = Attack(R"py(
for path in ["/usr/x", "/usr/bin/x", "/work/x", "/x", "/etc/x", "/dev/x", "/proc/x", "/root/x", "/etc/ld.so.cache", "/usr/bin/env", sys.argv[2],
             "/proc/sys/kernel/core_pattern", "/proc/1/mem"]:
    tried("write " + path, lambda: open(path, "w" if path[-1] == "x" else "r+b"))
tried("unlink", lambda: os.unlink("/usr/bin/env"))
tried("chmod", lambda: os.chmod("/usr/bin/env", 0o777))
tried("device", lambda: os.mknod("/tmp/vda", 0o60666, os.makedev(254, 0)))
tried("remount", lambda: syscall(165, b"none", b"/", None, 32, None))
tried("mount", lambda: syscall(165, b"tmpfs", b"/tmp", b"tmpfs", 0, None))
)py");
  EXPECT_THAT(result.output, HasSubstr("write /usr/x refused EROFS"));
  EXPECT_THAT(result.output, HasSubstr("device refused EPERM"));
}

TEST_F(SandboxEscape, InheritedDescriptors) {
  const int leaky = open(Canary().c_str(), O_RDWR);  // without O_CLOEXEC, as careless libraries do
  const SandboxResult result = Attack(R"py(
for fd in range(3, 256):
    try: os.write(fd, b"exit 0 cpu 0 wall 0 peak 0\n"); print("GOT", fd)
    except OSError as error: assert error.errno == errno.EBADF, error
print("open", sorted(os.listdir("/proc/self/fd")))
tried("change input", lambda: os.write(0, b"x"))
tried("grow input", lambda: os.ftruncate(0, 1 << 20))
)py");
  EXPECT_THAT(result.output, HasSubstr("open ['0', '1', '2', '3']"));  // 3 is the listing's own
  EXPECT_THAT(result.output, HasSubstr("change input refused EPERM"));
  close(leaky);
}

TEST_F(SandboxEscape, BecomesSomebodyElse) {
  const SandboxResult result = Attack(R"py(
tried("setuid", lambda: os.setuid(0))
tried("setgid", lambda: os.setgid(0))
tried("setgroups", lambda: os.setgroups([0]))
for command in [["/usr/bin/su", "-c", "id"], ["/bin/mount", "-t", "tmpfs", "none", "/tmp"], ["/usr/bin/passwd", "root"]]:
    if os.path.exists(command[0]):
        print(command[0], "succeeds", subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0)
status = open("/proc/self/status").read()
print("capabilities", [line.split()[1] for line in status.splitlines() if line.startswith("Cap")])
print("privileges", "NoNewPrivs:\t1" in status, "filter", "Seccomp:\t2" in status)
shell = "/tmp/sh"
open(shell, "wb").write(open("/bin/sh", "rb").read())
os.chmod(shell, 0o6755)
print("own", subprocess.run([shell, "-pc", "id -u"], capture_output=True).stdout)
)py");
  EXPECT_THAT(result.output, Not(HasSubstr("succeeds True")));
  EXPECT_THAT(result.output, HasSubstr("capabilities ['0000000000000000', '0000000000000000', '0000000000000000', "
                                       "'0000000000000000', '0000000000000000']"));
  EXPECT_THAT(result.output, HasSubstr("privileges True filter True"));
  EXPECT_THAT(result.output, HasSubstr("own b'65534\\n'")) << result.errors;
}

TEST_F(SandboxEscape, LoadsAPreloadedLibrary) {
  const SandboxResult result = Attack(R"py(
os.environ["LD_PRELOAD"] = "/tmp/x.so"
print(subprocess.run(["/usr/bin/id", "-u"], capture_output=True).stdout)
)py");
  EXPECT_THAT(result.output, HasSubstr("b'65534\\n'"));  // its own children only, who are nobody as well
}

#ifdef __x86_64__
TEST_F(SandboxEscape, KernelInterfaces) {
  const SandboxResult result = Attack(R"py(
page = ctypes.create_string_buffer(4096)
for flag in [0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000]:
    tried("unshare", lambda: syscall(272, flag))
    tried("clone", lambda: syscall(56, flag | 17, 0, 0, 0, 0))
tried("clone3", lambda: syscall(435, page, 88))
for name, number in dict(keyctl=250, add_key=248, bpf=321, perf=298, userfaultfd=323, io_uring=425, kexec=246, personality=135, setns=308, pivot_root=155,
                         open_tree=428, fsopen=430, init_module=175, reboot=169, swapon=167, settimeofday=164, syslog=103, quotactl=179, acct=163,
                         fanotify=300, by_handle=304, vmsplice=278, modify_ldt=154, iopl=172, kcmp=312, move_pages=279, mq_open=240).items():
    tried(name, lambda: syscall(number, page, page, 1, page, page, 0))
)py");
  EXPECT_THAT(result.output, HasSubstr("unshare refused EPERM"));
  EXPECT_THAT(result.output, HasSubstr("clone refused EPERM"));
  EXPECT_THAT(result.output, HasSubstr("clone3 refused ENOSYS"));
  EXPECT_THAT(result.output, HasSubstr("io_uring refused EPERM"));
  EXPECT_TRUE(result.Succeeded()) << result.Describe(limits_);
}

TEST_F(SandboxEscape, CallsOfAnotherNumbering) {
  // x32's getpid: the filter knows one numbering, so another's call ends the program.
  EXPECT_EQ(Attack("syscall(0x40000000 + 39)\nprint('GOT')\n").ending, Ending::kSignal);
}
#endif

}  // namespace
}  // namespace hone
