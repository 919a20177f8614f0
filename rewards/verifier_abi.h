/* Your own verifier as a shared library: export the four functions at the end. C, C++ ("extern C"), Rust (#[repr(C)], extern "C") and whatever
 * else speaks C's calling convention.
 *
 *   gcc -shared -fPIC -O2 -I path/to/hone -o libmine.so mine.c        hone score --verifier 'plugin(path="./libmine.so")' --input answers.jsonl
 *
 * The library runs in processes of its own, `workers` of them. In each, one verifier is made, all calls come from one thread, one after
 * the other: nothing has to be thread-safe. A call that crashes, throws, or takes longer than deadline_ms ends its process and leaves its
 * sample without verdict; a new process takes the place. Standard output is yours, but goes where standard error goes: to the log.
 *
 * Within version 1 structs only grow at their end, and `size` says how much there is. */
#ifndef HONE_REWARDS_VERIFIER_ABI_H_
#define HONE_REWARDS_VERIFIER_ABI_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HONE_VERIFIER_ABI_VERSION 1

/* UTF-8. data[size] is 0; data[0 .. size-1] may hold a 0 too. Never null. Valid during the call. */
typedef struct hone_text {
  const char* data;
  size_t size;
} hone_text;

typedef struct hone_sample {
  size_t size; /* of this struct, in bytes */
  hone_text prompt;
  hone_text completion;
  hone_text answer;   /* empty when there is none */
  hone_text metadata; /* a JSON object */
} hone_sample;

/* What the plugin points at must stay as it is until the next call for the same verifier. All is 0 before the call. */
typedef struct hone_verdict {
  size_t size;                   /* of this struct, in bytes */
  double score;                  /* finite */
  const char* reason;            /* UTF-8, one line, or null */
  size_t part_count;             /* named components of the score, each becomes a metric; at most 64 */
  const char* const* part_names; /* [part_count] */
  const double* part_values;     /* [part_count], finite */
} hone_verdict;

/* Must return HONE_VERIFIER_ABI_VERSION of the header that the plugin was compiled with. */
uint32_t hone_verifier_abi_version(void);

/* `options` is the text of plugin(options="..."). Null means failure: *error then points at a reason that stays valid. */
void* hone_verifier_new(const char* options, const char** error);

/* 0: verdict->score counts. Anything else: no verdict, and verdict->reason says why. */
int hone_verifier_verify(void* verifier, const hone_sample* sample, hone_verdict* verdict);

void hone_verifier_free(void* verifier);

#ifdef __cplusplus
}
#endif

#endif /* HONE_REWARDS_VERIFIER_ABI_H_ */
