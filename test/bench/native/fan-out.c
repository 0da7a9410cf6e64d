/*
 * Writes the same bytes to many sockets, without JavaScript between two of them: what a native addon could win.
 * Compiled by the benchmark itself (native/build.ts), never part of the server.
 *
 * sendAll(fds: Int32Array, bytes: Buffer): number     one system call a socket
 * submitAll(fds: Int32Array, bytes: Buffer): number   one system call for up to RING_ENTRIES sockets, through io_uring
 *
 * Both return how many sockets took all the bytes at once; what the others have not taken is lost to them. That is good
 * enough for a measurement in which nobody is slow, and for nothing else.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <node_api.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RING_ENTRIES 1024

struct call {
  const int32_t *fds;
  size_t count;
  const void *bytes;
  size_t length;
};

static struct {
  int fd;
  unsigned *submission_tail, *submission_mask, *completion_head, *completion_tail, *completion_mask;
  struct io_uring_sqe *submissions;
  struct io_uring_cqe *completions;
} ring = { .fd = -1 };

/* Returns 0, or -1 where the kernel has no io_uring or does not allow it. */
static int open_ring(void) {
  struct io_uring_params params = { .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN };
  int fd = syscall(SYS_io_uring_setup, RING_ENTRIES, &params);
  if (fd < 0 || !(params.features & IORING_FEAT_SINGLE_MMAP)) return -1;
  size_t submission_size = params.sq_off.array + params.sq_entries * sizeof(unsigned);
  size_t completion_size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  size_t size = submission_size > completion_size ? submission_size : completion_size;
  char *rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
  ring.submissions = mmap(NULL, params.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
  if (rings == MAP_FAILED || ring.submissions == MAP_FAILED) return -1;
  ring.submission_tail = (unsigned *)(rings + params.sq_off.tail);
  ring.submission_mask = (unsigned *)(rings + params.sq_off.ring_mask);
  ring.completion_head = (unsigned *)(rings + params.cq_off.head);
  ring.completion_tail = (unsigned *)(rings + params.cq_off.tail);
  ring.completion_mask = (unsigned *)(rings + params.cq_off.ring_mask);
  ring.completions = (struct io_uring_cqe *)(rings + params.cq_off.cqes);
  unsigned *array = (unsigned *)(rings + params.sq_off.array);
  for (unsigned index = 0; index < params.sq_entries; index++) array[index] = index;
  ring.fd = fd;
  return 0;
}

static size_t submit(const struct call *call, size_t start, unsigned count) {
  unsigned tail = *ring.submission_tail;
  for (unsigned index = 0; index < count; index++) {
    struct io_uring_sqe *entry = &ring.submissions[(tail + index) & *ring.submission_mask];
    memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_SEND;
    entry->fd = call->fds[start + index];
    entry->addr = (uintptr_t)call->bytes;
    entry->len = call->length;
    entry->msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  }
  __atomic_store_n(ring.submission_tail, tail + count, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring.fd, count, count, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return 0;
  size_t taken = 0;
  unsigned head = *ring.completion_head;
  for (; head != __atomic_load_n(ring.completion_tail, __ATOMIC_ACQUIRE); head++) {
    if (ring.completions[head & *ring.completion_mask].res == (int32_t)call->length) taken++;
  }
  __atomic_store_n(ring.completion_head, head, __ATOMIC_RELEASE);
  return taken;
}

static int read_call(napi_env env, napi_callback_info info, struct call *call) {
  napi_value args[2];
  size_t count = 2;
  void *fds, *bytes;
  napi_typedarray_type type;
  if (napi_get_cb_info(env, info, &count, args, NULL, NULL) != napi_ok || count != 2) return -1;
  if (napi_get_typedarray_info(env, args[0], &type, &call->count, &fds, NULL, NULL) != napi_ok || type != napi_int32_array) return -1;
  if (napi_get_buffer_info(env, args[1], &bytes, &call->length) != napi_ok) return -1;
  call->fds = fds;
  call->bytes = bytes;
  return 0;
}

static napi_value number_of(napi_env env, size_t taken) {
  napi_value result;
  return napi_create_uint32(env, (uint32_t)taken, &result) == napi_ok ? result : NULL;
}

static napi_value send_all(napi_env env, napi_callback_info info) {
  struct call call;
  if (read_call(env, info, &call) < 0) {
    napi_throw_type_error(env, NULL, "sendAll(fds: Int32Array, bytes: Buffer)");
    return NULL;
  }
  size_t taken = 0;
  for (size_t index = 0; index < call.count; index++) {
    if (send(call.fds[index], call.bytes, call.length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)call.length) taken++;
  }
  return number_of(env, taken);
}

static napi_value submit_all(napi_env env, napi_callback_info info) {
  struct call call;
  if (read_call(env, info, &call) < 0) {
    napi_throw_type_error(env, NULL, "submitAll(fds: Int32Array, bytes: Buffer)");
    return NULL;
  }
  if (ring.fd < 0 && open_ring() < 0) {
    napi_throw_error(env, NULL, "this kernel gives no io_uring");
    return NULL;
  }
  size_t taken = 0;
  for (size_t start = 0; start < call.count; start += RING_ENTRIES) {
    size_t left = call.count - start;
    taken += submit(&call, start, left < RING_ENTRIES ? left : RING_ENTRIES);
  }
  return number_of(env, taken);
}

NAPI_MODULE_INIT() {
  napi_property_descriptor functions[] = {
    { .utf8name = "sendAll", .method = send_all },
    { .utf8name = "submitAll", .method = submit_all }
  };
  napi_define_properties(env, exports, 2, functions);
  return exports;
}
