# Sourced by ./run and ./test: saying what happens, installing what is missing, configuring and building.
# Everything is a no-op when already done, and needs the network only to install a missing package.
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
terminal=false
[ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && [ -z "${NO_COLOR:-}" ] && terminal=true
if $terminal; then bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
else bold='' dim='' red='' green='' yellow='' plain=''; fi

say() { echo "${bold}==>${plain} $*"; }
stop() { echo "${red}error:${plain} $*" >&2; exit 1; }

# packages GROUP...: those of tools/packages.txt that this machine lacks are installed.
packages() {
  local wanted missing=() package group
  wanted=$(for group in "$@"; do sed -n "s/^$group  *//p" "$source_dir/tools/packages.txt"; done)
  if ! command -v dpkg-query >/dev/null; then
    say "packages: not a Debian machine; the build needs what tools/packages.txt lists"
    return
  fi
  for package in $wanted; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  if [ ${#missing[@]} = 0 ]; then
    say "packages: all present"
    return
  fi
  say "packages: installing ${missing[*]}"
  local sudo=() log
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || stop "missing packages: ${missing[*]}
  This account is not root and there is no sudo. As root: apt-get install ${missing[*]}"
    sudo=(sudo)
  fi
  log=$(mktemp)
  if ! { "${sudo[@]}" apt-get update -qq && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
         apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    rm -f "$log"
    stop "could not install: ${missing[*]}
  Without a network, install these packages from a mirror or a medium, then run this again."
  fi
  rm -f "$log"
}

# build_preset NAME [TARGET...]: configures (once) and builds a preset of CMakePresets.json.
build_preset() {
  local preset=$1 folder started=$SECONDS status=0 log
  shift
  folder=$(build_folder "$preset")
  mkdir -p "$folder"
  log=$folder/build.log
  if [ ! -f "$folder/build.ninja" ]; then
    say "configure: $preset"
    cmake -S "$source_dir" --preset "$preset" >"$log" 2>&1 || { tail -n 30 "$log"; stop "configuring failed; see $log"; }
  fi
  say "build: $preset"
  # On a terminal ninja shows one line of progress; elsewhere only what goes wrong, and the result, is printed.
  if $terminal; then
    ninja -C "$folder" "$@" || status=$?
  else
    ninja -C "$folder" "$@" >"$log" 2>&1 || status=$?
    [ $status = 0 ] || sed -n '/^FAILED/,$p' "$log" | cut -c1-400 | head -n 60
  fi
  [ $status = 0 ] || stop "the $preset build failed"
  echo "    $(basename "$folder") is up to date ${dim}($((SECONDS - started)) s)${plain}"
}

build_folder() { if [ "$1" = release ]; then echo "$source_dir/build"; else echo "$source_dir/build-$1"; fi; }
