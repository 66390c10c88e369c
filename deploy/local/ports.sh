# shellcheck shell=bash
# Which ports are taken, and by what. Connects and reads /proc; changes nothing.

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Says who listens on a port, as far as this user may see it.
port_owner() {
  local hex inodes inode fd pid
  hex="$(printf '%04X' "$1")"
  inodes="$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v p=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == p { print $10 }')"
  for inode in $inodes; do
    for fd in /proc/[0-9]*/fd/*; do
      if [ "$(readlink "$fd" 2>/dev/null)" = "socket:[$inode]" ]; then
        pid="${fd#/proc/}"
        pid="${pid%%/*}"
        printf 'process %s (%s)' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c1-100)"
        return
      fi
    done
  done
  printf 'a process of another user'
}

# Prints a free port that is not among the arguments after the first: counting up from the
# first argument, or, where that is 0, at random from 20000-30000 (tests run side by side;
# the kernel's own ports begin at 32768).
free_port() {
  local from="$1" port tries
  shift
  for ((tries = 0; tries < 2000; tries++)); do
    if [ "$from" = 0 ]; then port=$((20000 + (RANDOM * 32768 + RANDOM) % 10000)); else port=$((from + tries)); fi
    case " $* " in *" $port "*) continue ;; esac
    if ! port_taken "$port"; then
      echo "$port"
      return
    fi
  done
  fail "found no free port from $from on"
}
