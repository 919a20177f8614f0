#!/bin/sh
# Runs a tests/peers/*.py with the Python of .deps/peers. Without that the test is skipped (77), unless HONE_NO_SKIP says that nothing may be.
if [ ! -x "$HONE_PEERS_PYTHON" ]; then
  echo "no $HONE_PEERS_PYTHON: run tools/setup.sh --peers"
  [ -n "$HONE_NO_SKIP" ] && exit 1
  exit 77
fi
exec "$HONE_PEERS_PYTHON" "$@"
