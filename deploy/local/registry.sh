# shellcheck shell=bash
# A schema registry of another hand, for tests: Apicurio Registry, unpacked once into the cache
# folder. Expects $here and $cache of jars.sh; starts nothing.

registry_version="$(sed -n 's:.*<apicurio.version>\(.*\)</apicurio.version>.*:\1:p' "$here/pom-registry.xml")"
registry="$cache/apicurio-registry-$registry_version"

# As with Kafka's jars, the copy of the pom says which pom the folder belongs to, and the folder
# gets its name only when it is whole.
fetch_registry() {
  if cmp -s "$here/pom-registry.xml" "$registry/pom.xml"; then return; fi
  command -v mvn >/dev/null || fail "Apicurio Registry is not in $registry yet, and Maven (mvn), which fetches it, is missing. Run: make setup"
  say "fetching Apicurio Registry $registry_version into $registry (once)"
  local part code=0
  part="$(mktemp -d "$cache/registry-part.XXXXXX")"
  mvn -q -B -f "$here/pom-registry.xml" dependency:unpack -DoutputDirectory="$part" >&2 || code=$?
  # Maven leaves marks of its own beside the pom.
  rm -rf "$here/target"
  if [ "$code" -ne 0 ]; then
    rm -rf "$part"
    fail "Maven could not fetch Apicurio Registry (its words stand above). Is there a network?"
  fi
  cp "$here/pom-registry.xml" "$part/pom.xml"
  rm -rf "$registry"
  mv "$part" "$registry"
}
