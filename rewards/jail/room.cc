// The room: a root folder of its own in memory, with read-only views of the runtime, a small writable /tmp and nothing else.
// mount_namespaces(7), open_tree(2), mount_setattr(2), pivot_root(2), capabilities(7).
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "rewards/jail/plan.h"

namespace hone::jail {
namespace {

constexpr int kRecursive = 0x8000;  // AT_RECURSIVE; <fcntl.h> has it with some versions of glibc only
constexpr int kDetach = 2;          // MNT_DETACH of umount2(2)

void Mount(const char* type, const char* target, unsigned long flags, const char* options) {
  if (syscall(SYS_mount, type, target, type, flags, options) != 0) Fail(type);
}

void MakeParents(const std::string& path) {
  for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    if (mkdir(path.substr(0, slash).c_str(), 0755) != 0 && errno != EEXIST) Fail("mkdir");
  }
}

void MakeFile(const char* path) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444);
  if (fd < 0) Fail(path);
  close(fd);
}

void Attach(const Bind& bind) {
  struct stat status;
  if (fstat(bind.tree, &status) != 0) Fail(bind.source);
  MakeParents(bind.target);
  if (!S_ISDIR(status.st_mode)) {
    MakeFile(bind.target);
  } else if (mkdir(bind.target, 0755) != 0 && errno != EEXIST) {
    Fail(bind.target);
  }
  if (syscall(SYS_move_mount, bind.tree, "", AT_FDCWD, bind.target, MOVE_MOUNT_F_EMPTY_PATH) != 0) Fail(bind.source);
  close(bind.tree);
}

// Of /proc only the processes inside. A container that masks parts of its own /proc is allowed none.
bool MountProc() {
  if (mkdir("proc", 0555) != 0) Fail("mkdir /proc");
  const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  return syscall(SYS_mount, "proc", "proc", "proc", flags, "subset=pid") == 0;
}

void BecomeNobody() {
  // Capabilities must outlast the change of user: the room is not built yet.
  if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) != 0) Fail("securebits");
  setgroups(0,
            nullptr);  // refused where we are not root outside; what an ordinary user's groups open is not in the room
  if (setresgid(kNobody, kNobody, kNobody) != 0) Fail("setresgid");
  if (setresuid(kNobody, kNobody, kNobody) != 0) Fail("setresuid");
}

}  // namespace

void TakeTrees(Plan& plan) {
  if (syscall(SYS_mount, "none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) Fail("private mounts");
  for (Bind& bind : plan.binds) {
    bind.tree = static_cast<int>(
        syscall(SYS_open_tree, AT_FDCWD, bind.source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | kRecursive));
    if (bind.tree < 0) Fail(bind.source);
    const bool device = std::strncmp(bind.target, "dev/", 4) == 0;
    mount_attr attributes = {};
    attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | (device ? MOUNT_ATTR_NOEXEC : MOUNT_ATTR_NODEV);
    if (syscall(SYS_mount_setattr, bind.tree, "", AT_EMPTY_PATH | kRecursive, &attributes, sizeof attributes) != 0) {
      Fail("mount_setattr");
    }
  }
}

void WriteFiles(const Plan& plan, const char* root) {
  for (const File& file : plan.files) {
    const std::string path = std::string(root) + "/" + file.target;
    const int out =
        open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, file.program ? 0555 : 0444);
    struct stat status;
    if (out < 0 || fstat(file.fd, &status) != 0) Fail(file.target);
    off_t from = 0;
    while (from < status.st_size) {
      if (sendfile(out, file.fd, &from, static_cast<size_t>(status.st_size - from)) <= 0) Fail(file.target);
    }
    close(out);
    close(file.fd);
  }
}

bool BuildRoom(const Plan& plan) {
  BecomeNobody();
  umask(0);
  // The room is built over /usr, which every host has and whose tree is already taken; /proc must stay visible until ours is mounted.
  std::string root_options = "size=128m,nr_inodes=4096,mode=0755";
  Mount("tmpfs", "/usr", MS_NOSUID | MS_NODEV, root_options.c_str());
  if (chdir("/usr") != 0) Fail("chdir");
  for (const Bind& bind : plan.binds) Attach(bind);
  for (const Link& link : plan.links) {
    MakeParents(link.target);
    if (symlink(link.text, link.target) != 0) Fail(link.target);
  }
  const bool has_proc = MountProc();
  if (mkdir("work", 0755) != 0 || mkdir("tmp", 0777) != 0) Fail("mkdir");
  WriteFiles(plan, ".");
  char options[96];
  std::snprintf(options, sizeof options, "size=%llu,nr_inodes=8192,mode=1777",
                static_cast<unsigned long long>(plan.tmp_bytes));
  Mount("tmpfs", "tmp", MS_NOSUID | MS_NODEV, options);

  if (syscall(SYS_pivot_root, ".", ".") != 0) Fail("pivot_root");
  if (syscall(SYS_umount2, ".", kDetach) != 0) Fail("umount");
  if (chdir("/") != 0) Fail("chdir");
  mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attributes, sizeof attributes) != 0) Fail("read-only root");
  if (chdir("/tmp") != 0) Fail("chdir /tmp");
  if (sethostname("sandbox", 7) != 0) Fail("sethostname");
  return has_proc;
}

void DropRights() {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability) != 0) Fail("bounding set");
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  constexpr unsigned long kLocked = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                    SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                    SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  if (prctl(PR_SET_SECUREBITS, kLocked) != 0) Fail("securebits");
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  if (syscall(SYS_capset, &header, none) != 0) Fail("capset");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Fail("no_new_privs");
  // Who shares our user may neither trace us nor look into our memory or descriptors.
  if (prctl(PR_SET_DUMPABLE, 0) != 0) Fail("dumpable");
}

}  // namespace hone::jail
