#!/usr/bin/env bash
# What `make test-slurm` runs: a Slurm cluster of this one machine from Debian's packages, a sweep of four jobs on it, and
# an end to both. It changes nothing under /etc: the cluster's configuration, key, logs and state lie in a folder of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN="$PWD/.venv/bin"  # else an environment that is active
[ -x "$BIN/rnnscope" ] || BIN="$(dirname "$(command -v rnnscope)")"

if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
  [ "$(id -u)" = 0 ] || { echo "test-slurm needs slurm-wlm and munge: sudo apt-get install slurm-wlm munge"; exit 1; }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
fi
[ "$(id -u)" = 0 ] || { echo "test-slurm starts slurmd and munged, which needs root"; exit 1; }

PLACE="$(mktemp -d)"
export SLURM_CONF="$PLACE/slurm.conf"
PIDS=()

stop() {
  "$(command -v scancel)" --full --state=RUNNING --quiet 2>/dev/null || true
  for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$PLACE"
}
trap stop EXIT

mkdir -p "$PLACE"/{munge,state,spool,log}
chmod 700 "$PLACE/munge"
dd if=/dev/urandom of="$PLACE/munge/key" bs=1024 count=1 status=none
chmod 600 "$PLACE/munge/key"
chmod 755 "$PLACE"
cat >"$SLURM_CONF" <<CONF
ClusterName=rnnscope
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$PLACE/munge.socket
CredType=cred/munge
StateSaveLocation=$PLACE/state
SlurmdSpoolDir=$PLACE/spool
SlurmctldPidFile=$PLACE/slurmctld.pid
SlurmdPidFile=$PLACE/slurmd.pid
SlurmctldLogFile=$PLACE/log/slurmctld
SlurmdLogFile=$PLACE/log/slurmd
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
MpiDefault=none
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF

munged --foreground --force --key-file="$PLACE/munge/key" --socket="$PLACE/munge.socket" --pid-file="$PLACE/munged.pid" \
  --log-file="$PLACE/log/munged" --seed-file="$PLACE/munge/seed" 2>/dev/null & PIDS+=($!)
for _ in $(seq 50); do [ -S "$PLACE/munge.socket" ] && break; sleep 0.1; done
slurmctld -D 2>/dev/null & PIDS+=($!)
slurmd -D 2>/dev/null & PIDS+=($!)
for _ in $(seq 100); do [ "$(sinfo -h -o %T 2>/dev/null)" = idle ] && break; sleep 0.2; done
[ "$(sinfo -h -o %T)" = idle ] || { echo "the cluster does not come up:"; tail -n 5 "$PLACE"/log/*; exit 1; }
echo "Slurm $(sinfo --version | cut -d' ' -f2) is up on $(hostname -s) with $(nproc) cores"

"$BIN/python" -m pytest tests/slurm_sweep.py "$@"
