// Which system calls a tested program may not make. All else is allowed: the walls are the namespaces, and this narrows what of the kernel
// can be reached from inside them. seccomp(2), https://github.com/seccomp/libseccomp.
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "rewards/sandbox.h"

namespace hone {
namespace {

// By name, because the headers of an older system lack some; what the library does not know, this kernel's filter cannot name either.
constexpr const char* kRefused[] = {
    // Other processes' memory and descriptors.
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "process_mrelease",
    "pidfd_getfd",
    "kcmp",
    "userfaultfd",
    // Mounts, namespaces, roots.
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "chroot",
    "move_mount",
    "open_tree",
    "open_tree_attr",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "unshare",
    "setns",
    "name_to_handle_at",
    "open_by_handle_at",
    "quotactl",
    "quotactl_fd",
    "fanotify_init",
    // Large pieces of the kernel that a program which computes has no use for.
    "bpf",
    "perf_event_open",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "add_key",
    "request_key",
    "keyctl",
    "vmsplice",
    "personality",
    "modify_ldt",
    "lookup_dcookie",
    "uselib",
    "remap_file_pages",
    "mbind",
    "migrate_pages",
    "move_pages",
    "set_mempolicy",
    "set_mempolicy_home_node",
    // The machine.
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "syslog",
    "settimeofday",
    "clock_settime",
    "clock_settime64",
    "clock_adjtime",
    "clock_adjtime64",
    "adjtimex",
    "stime",
    "iopl",
    "ioperm",
    "vhangup",
    "nfsservctl",
    "sethostname",
    "setdomainname",
    // Memory that belongs to no process, which nothing here would count. Python and libc do without.
    "memfd_create",
    "memfd_secret",
    "shmget",
    "msgget",
    "semget",
    "mq_open",
};

// clone(2)'s first argument; clone3(2) hides its flags in memory, so it does not exist and libc falls back to clone.
constexpr uint64_t kNewNamespaces =
    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

absl::Status AddRules(scmp_filter_ctx filter) {
  const auto refuse = [filter](int call, uint32_t error, auto... conditions) {
    const int failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), call, sizeof...(conditions), conditions...);
    return failed == 0 ? absl::OkStatus() : WorkError("libseccomp refuses a rule: ", std::strerror(-failed));
  };
  for (const char* name : kRefused) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call == __NR_SCMP_ERROR || call < 0) continue;
    HONE_RETURN_IF_ERROR(refuse(call, EPERM));
  }
  HONE_RETURN_IF_ERROR(refuse(SCMP_SYS(clone3), ENOSYS));
  for (uint64_t flag = 1; flag != 0; flag <<= 1) {
    if ((kNewNamespaces & flag) == 0) continue;
    HONE_RETURN_IF_ERROR(refuse(SCMP_SYS(clone), EPERM, SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag)));
  }
  // Not every family of sockets has namespaces (AF_VSOCK reaches the host of a virtual machine), and many are old code.
  for (const int call : {SCMP_SYS(socket), SCMP_SYS(socketpair)}) {
    HONE_RETURN_IF_ERROR(refuse(call, EAFNOSUPPORT, SCMP_A0(SCMP_CMP_NE, AF_UNIX)));
  }
  // Process 1 inside has the program's user, and must keep its own limits and its turn on the processor: each for himself.
  for (const int call : {SCMP_SYS(prlimit64), SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_setscheduler),
                         SCMP_SYS(sched_setparam), SCMP_SYS(sched_setattr)}) {
    HONE_RETURN_IF_ERROR(refuse(call, EPERM, SCMP_A0(SCMP_CMP_NE, 0)));
  }
  HONE_RETURN_IF_ERROR(refuse(SCMP_SYS(setpriority), EPERM, SCMP_A0(SCMP_CMP_NE, 0)));
  HONE_RETURN_IF_ERROR(refuse(SCMP_SYS(setpriority), EPERM, SCMP_A1(SCMP_CMP_NE, 0)));
  HONE_RETURN_IF_ERROR(refuse(SCMP_SYS(ioprio_set), EPERM));
  // Anonymous memory that processes share may outlive all views of it that are counted.
  constexpr uint64_t kShared = MAP_SHARED | MAP_ANONYMOUS;
  HONE_RETURN_IF_ERROR(refuse(SCMP_SYS(mmap), ENOMEM, SCMP_A3(SCMP_CMP_MASKED_EQ, kShared, kShared)));
  // Typing at a terminal.
  for (const uint64_t request : {uint64_t{TIOCSTI}, uint64_t{TIOCLINUX}}) {
    HONE_RETURN_IF_ERROR(refuse(SCMP_SYS(ioctl), EPERM, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, request)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> SystemCallFilter() {
  // A call of another architecture's numbering ends the program.
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_ALLOW), seccomp_release);
  if (filter == nullptr) return WorkError("libseccomp knows no filters for this machine");
  HONE_RETURN_IF_ERROR(AddRules(filter.get()));
  int ends[2];
  if (pipe(ends) != 0) return WorkError("pipe: ", std::strerror(errno));
  // A filter of this size fits into a pipe.
  const int failed = seccomp_export_bpf(filter.get(), ends[1]);
  close(ends[1]);
  std::string text(65536, '\0');
  const ssize_t bytes = failed == 0 ? read(ends[0], text.data(), text.size()) : -1;
  close(ends[0]);
  if (bytes <= 0) return WorkError("libseccomp compiles no filter: ", std::strerror(failed != 0 ? -failed : errno));
  text.resize(static_cast<size_t>(bytes));
  return text;
}

}  // namespace hone
