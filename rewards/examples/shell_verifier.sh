#!/bin/sh
# A verifier in a shell: 1 when the answer is the wanted text, to the letter.
#
#   hone score --verifier 'process(command="sh rewards/examples/shell_verifier.sh")' --input answers.jsonl
#
# Members come in one order, {"id":...,"prompt":...,"completion":...,"answer":...,"metadata":...}, and no text of JSON holds ," as it stands,
# so that the members can be cut out without a JSON reader.
while IFS= read -r line; do
  id=${line#'{"id":'}
  id=${id%%,*}
  rest=${line#*,'"completion":'}
  completion=${rest%%,'"answer":'*}
  rest=${rest#*,'"answer":'}
  answer=${rest%%,'"metadata":'*}
  if [ "$answer" = '""' ]; then
    printf '{"id": %s, "error": "the line has no answer to compare with"}\n' "$id"
  elif [ "$completion" = "$answer" ]; then
    printf '{"id": %s, "score": 1}\n' "$id"
  else
    printf '{"id": %s, "score": 0, "reason": "another text"}\n' "$id"
  fi
done
