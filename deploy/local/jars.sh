# shellcheck shell=bash
# Kafka's jars and the Java that runs them. Owns the cache folder; knows nothing of brokers.

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
kafka_version="$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")"
cache="${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/licenseflow"
jars="$cache/kafka-$kafka_version"

say() { printf 'kafka: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }
wrong_use() { say "$@" "(see: deploy/local/kafka help)"; exit 2; }

# Sets $java, or says how to get one.
find_java() {
  java="${JAVA_HOME:+$JAVA_HOME/bin/}java"
  command -v "$java" >/dev/null || fail "no Java found. Run: make setup (or install a Java of 17 or later and put it on the PATH)"
  local major
  major="$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)"
  [ "${major:-0}" -ge 17 ] || fail "$java is version ${major:-unknown}, Kafka $kafka_version needs 17 or later. Run: make setup"
}

# The copy of the pom in the folder says which pom its jars belong to; the folder gets its
# name only when it is whole, so a fetch that was cut short is never taken for a finished one.
fetch_jars() {
  if cmp -s "$here/pom.xml" "$jars/pom.xml"; then return; fi
  command -v mvn >/dev/null || fail "Kafka's jars are not in $jars yet, and Maven (mvn), which fetches them, is missing. Run: make setup"
  mkdir -p "$cache"
  exec 8>"$cache/kafka.lock"
  if command -v flock >/dev/null; then flock 8; fi
  if cmp -s "$here/pom.xml" "$jars/pom.xml"; then
    exec 8>&-
    return
  fi
  say "fetching Apache Kafka $kafka_version into $jars (once)"
  local part
  part="$(mktemp -d "$cache/kafka-part.XXXXXX")"
  if ! mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$part" >&2; then
    rm -rf "$part"
    fail "Maven could not fetch Kafka's jars (its words stand above). Is there a network?"
  fi
  cp "$here/pom.xml" "$part/pom.xml"
  rm -rf "$jars"
  mv "$part" "$jars"
  exec 8>&-
}
