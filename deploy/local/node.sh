# shellcheck shell=bash
# One broker of the folder: its settings, its process, its end. Expects $home (Kafka's
# folder), $cluster_id, $brokers, $for_tests and the arrays broker_ports and controller_ports.

node_dir() { echo "$home/node-$1"; }

# Prints the process id of a broker that runs, and nothing otherwise. The id file alone proves
# nothing after a crash or a reboot: the process must also name this very folder.
node_pid() {
  local pid
  pid="$(cat "$(node_dir "$1")/pid" 2>/dev/null)" || return 0
  if [ -r "/proc/$pid/cmdline" ]; then
    tr '\0' '\n' <"/proc/$pid/cmdline" | grep -Fxq -- "-Dlicenseflow.kafka.node=$(node_dir "$1")" && echo "$pid"
  elif [ ! -d /proc/self ]; then
    ps -ww -o args= -p "$pid" 2>/dev/null | grep -Fq -- "-Dlicenseflow.kafka.node=$(node_dir "$1") " && echo "$pid"
  fi
  return 0
}

voters() {
  local n list=""
  for ((n = 1; n <= brokers; n++)); do list+="${list:+,}$n@127.0.0.1:${controller_ports[n]}"; done
  echo "$list"
}

# Broker and controller in one process. Topics are created on purpose or not at all: a typing
# error in a topic's name must be an error. A record of 4 MiB must pass wherever a topic says so.
node_properties() {
  local n="$1" copies=1 in_sync=1
  if [ "$brokers" -ge 3 ]; then copies=3 in_sync=2; fi
  cat <<EOF
process.roles=broker,controller
node.id=$n
controller.quorum.voters=$(voters)
listeners=PLAINTEXT://127.0.0.1:${broker_ports[n]},CONTROLLER://127.0.0.1:${controller_ports[n]}
advertised.listeners=PLAINTEXT://127.0.0.1:${broker_ports[n]}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$(node_dir "$n")/data
auto.create.topics.enable=false
default.replication.factor=$copies
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$copies
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$in_sync
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$in_sync
message.max.bytes=4194304
replica.fetch.max.bytes=4194304
EOF
  # A killed broker's leaders move, and its own return is let in, only when its session is over.
  if [ "$for_tests" = yes ]; then
    cat <<EOF
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
EOF
  fi
  # What the user adds comes last: of two lines of one name Kafka takes the later.
  [ ! -f "$home/settings" ] || cat "$home/settings"
  [ ! -f "$home/settings.$n" ] || cat "$home/settings.$n"
}

node_format() {
  local dir
  dir="$(node_dir "$1")"
  mkdir -p "$dir/log"
  node_properties "$1" >"$dir/server.properties"
  [ -f "$dir/data/meta.properties" ] && return
  "$java" -Xmx128m -XX:TieredStopAtLevel=1 -cp "$jars/*" kafka.tools.StorageTool format \
    --cluster-id "$cluster_id" --config "$dir/server.properties" >"$dir/log/format.log" 2>&1 ||
    fail "could not format $dir/data; see $dir/log/format.log"
}

# Starts the process and does not wait. It gets a session of its own, so that an interrupt at
# the terminal reaches the one who may stop it in order, not the broker.
node_launch() {
  local n="$1" dir session=()
  local options=(-Xms256m -Xmx1g)
  dir="$(node_dir "$n")"
  if [ "$for_tests" = yes ]; then options=(-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1); fi
  for port in "${broker_ports[n]}" "${controller_ports[n]}"; do
    if port_taken "$port"; then
      fail "port $port of broker $n is taken by $(port_owner "$port"). Stop that, or choose another: kafka up --port PORT"
    fi
  done
  rm -f "$dir/log/kafka.log" "$dir/log/out.log"
  command -v setsid >/dev/null && session=(setsid)
  # The lock of the folder (9) and the pipes of the caller must not live on in the broker.
  "${session[@]}" "$java" "${options[@]}" -cp "$jars/*" \
    "-Dlicenseflow.kafka.node=$dir" "-Dlicenseflow.kafka.log=$dir/log/kafka.log" \
    "-Dlog4j2.configurationFile=$here/log4j2.properties" \
    kafka.Kafka "$dir/server.properties" </dev/null >"$dir/log/out.log" 2>&1 9>&- &
  echo $! >"$dir/pid"
}

# Waits until the broker serves; a broker that dies on the way is named with its last words.
node_await() {
  local dir ticks pid
  dir="$(node_dir "$1")"
  pid="$(cat "$dir/pid")"
  for ((ticks = 0; ticks < 1200; ticks++)); do
    grep -qs 'Kafka Server started' "$dir/log/kafka.log" && return
    if ! kill -0 "$pid" 2>/dev/null; then
      tail -n 5 "$dir/log/out.log" "$dir/log/kafka.log" >&2 2>/dev/null
      rm -f "$dir/pid"
      fail "broker $1 ended while starting; see $dir/log"
    fi
    sleep 0.1
  done
  fail "broker $1 (process $pid) is not ready after 120 s; see $dir/log/kafka.log"
}

# Sends a signal to a broker that runs; TERM is the orderly end, KILL is a crash.
node_signal() {
  local pid
  pid="$(node_pid "$1")"
  [ -n "$pid" ] && kill "-$2" "$pid" 2>/dev/null
  return 0
}

# Waits for a signalled broker's end. Where the quorum is gone before it, a broker cannot say
# goodbye to it and would hang: it is killed after the given seconds.
node_await_end() {
  local ticks
  for ((ticks = 0; ticks < $2 * 10; ticks++)); do
    if [ -z "$(node_pid "$1")" ]; then
      rm -f "$(node_dir "$1")/pid"
      return
    fi
    sleep 0.1
  done
  node_signal "$1" KILL
  node_await_end "$1" 10
}
