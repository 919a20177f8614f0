/* A verifier in C: 1 when the answer's text stands in the completion; options="loose" compares without regard to case.
 *
 *   gcc -shared -fPIC -O2 -I. -o libmine.so rewards/examples/c_verifier.c
 *   hone score --verifier 'plugin(path="./libmine.so")' --input answers.jsonl */
#define _GNU_SOURCE
#include <string.h>

#include "rewards/verifier_abi.h"

static int loose;

uint32_t hone_verifier_abi_version(void) { return HONE_VERIFIER_ABI_VERSION; }

void* hone_verifier_new(const char* options, const char** error) {
  loose = strcmp(options, "loose") == 0;
  if (!loose && options[0] != 0) *error = "unknown options; known: loose";
  return loose || options[0] == 0 ? &loose : NULL;
}

int hone_verifier_verify(void* verifier, const hone_sample* sample, hone_verdict* verdict) {
  (void)verifier;
  if (sample->answer.size == 0) return verdict->reason = "the line has no answer to compare with", 1;
  const char *text = sample->completion.data, *wanted = sample->answer.data;
  verdict->score = (loose ? strcasestr(text, wanted) : strstr(text, wanted)) != NULL;
  return 0;
}

void hone_verifier_free(void* verifier) { (void)verifier; }
