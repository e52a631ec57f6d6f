r"""What runs on the other machine: a POSIX shell, told what to do in lines on its standard input.

The login shell, which may be bash, fish or csh, parses one fixed command (`COMMAND`); it never sees a path, a name or a
request. These come as lines, paths as octal escapes, and stand in quoted variables of `/bin/sh` only.

Input, a line each: ``open PATH``, ``follow OFFSET LENGTH SUM LENGTH``, ``digest``, ``list PATH``, ``put NAME`` (the
next line is the request), ``withdraw NAME``, ``alive TAG PID PATH``. What is answered goes to standard error, a line
each that begins with the mark of the session; the log goes to standard output, as `follow` finds it:

- ``D OFFSET LENGTH SIZE``, then so many bytes of whole lines; zeros stand for what vanished while it was read.
- ``H SIZE``: all whole lines of a log of this size were sent; also every few seconds while nothing happens.
- ``X WHY``: ``replaced``, ``shorter``, ``removed``, ``directory`` or ``unreadable``, also every few seconds. After all
  but the last one, the log is read from its beginning, once it is there.
"""

import os

HEAD_BYTES = 512
"""Of a log, by which another one in its place is noticed: as many as `tuimon.runs.log.session_log` compares."""
COMMAND = """exec /bin/sh -c 'IFS= read -r s && eval "$(printf %b "$s")"'"""
"""The command for the login shell. bash, dash, fish, csh and tcsh read it alike: no newline, backslash or “!”."""

SCRIPT = r"""
LC_ALL=C; export LC_ALL; unset CDPATH; umask 077
n=@MARK@
exec 3>&2
say() { printf '%s %s\n' "$n" "$*" >&3; }
mark() { printf '\n%s %s\n' "$n" "$*"; }
hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }
home=$(pwd; echo .); home=${home%??}
path() { v=$(printf '%b.' "$1"); v=${v%.}; case $v in /*) ;; *) v=$home/$v;; esac; }
is_run() { [ -f "$1/session.jsonl" ] || [ -d "$1/commands" ]; }
if sleep 0.01 2>/dev/null; then nap=0.2 beat=20; else nap=1 beat=4; fi

open() {
  path "$1"; p=$v; found=run
  case $p in */session.jsonl) [ -f "$p" ] && p=${p%/session.jsonl};; esac
  if ! is_run "$p"; then
    found=newest; best=
    for d in "$p"/*/; do
      d=${d%/}; [ -f "$d/session.jsonl" ] || continue
      if [ -z "$best" ] || [ "$d/session.jsonl" -nt "$best/session.jsonl" ]; then best=$d; fi
    done
    if [ -n "$best" ]; then p=$best
    elif [ -d "$p" ] && ! [ -x "$p" ]; then found=denied
    elif [ -d "$p" ]; then found=empty
    elif [ -e "$p" ]; then found=other
    else found=none; fi
  fi
  say open "$found" "$(date +%s 2>/dev/null)" "$(hex "$p")"
}

measure() {
  s=; i=
  if ! cd "$p" 2>/dev/null; then state=directory
  elif ! [ -f session.jsonl ]; then state=removed
  elif ! [ -r session.jsonl ]; then state=unreadable
  else
    state=ok
    set -- $(ls -lniLd session.jsonl 2>/dev/null)
    i=${1:-} s=${6:-}
    case $s in ''|*[!0-9]*) state=removed s=;; esac
  fi
}

whole() {
  if [ "$(dd if=session.jsonl bs=1 skip=$((s-1)) count=1 2>/dev/null | tr '\000\n' xN)" = N ]; then e=$s
  else e=$((s - $(tail -c +$((off+1)) session.jsonl | head -c $((s-off)) | tail -n 1 | wc -c))); fi
}

note_head() {
  if [ "$hl" -lt 512 ] && [ "$off" -gt "$hl" ]; then
    hl=$off; [ "$hl" -gt 512 ] && hl=512
    hs=$(head -c "$hl" session.jsonl | cksum)
  fi
}

follow() {
  off=$1 hl=$2 hs=$3 told=ok seen= ino= idle=0
  if [ "$off" = end ]; then
    off=0; measure; [ "${s:-0}" -gt 0 ] && whole && off=$e
    [ "$state" = ok ] && note_head
    printf 'D %d 0 %d\n' "$off" "${s:-0}"
  fi
  while :; do
    measure
    if [ "$state" = ok ]; then
      if [ "$hl" -gt 0 ] && [ "$s" -ge "$hl" ] &&
        { [ "$s" != "$seen" ] || [ "$i" != "$ino" ] || [ "$idle" -ge "$beat" ]; } &&
        [ "$(head -c "$hl" session.jsonl | cksum)" != "$hs" ]; then state=replaced
      elif [ "$s" -lt "$off" ]; then state=shorter; fi
    fi
    if [ "$state" != ok ]; then
      [ "$state" = "$told" ] || printf 'X %s\n' "$state"
      told=$state seen=
      case $state in
        replaced|shorter) off=0 hl=0 hs= told=ok; continue;;
        removed|directory) off=0 hl=0 hs=;;
      esac
    elif [ "$s" != "$seen" ] || [ "$told" != ok ]; then
      told=ok
      e=$off; [ "$s" -gt "$off" ] && whole
      while [ "$off" -lt "$e" ]; do
        l=$((e-off)); [ "$l" -gt 262144 ] && l=262144
        printf 'D %d %d %d\n' "$off" "$l" "$s"
        { tail -c +$((off+1)) session.jsonl; cat /dev/zero; } | head -c "$l"
        off=$((off+l))
      done
      note_head
      seen=$s ino=$i idle=0
      printf 'H %d\n' "$s"
    fi
    if [ "$idle" -ge "$beat" ]; then
      idle=0
      if [ "$state" = ok ]; then printf 'H %d\n' "$s"; else printf 'X %s\n' "$state"; fi
    fi
    idle=$((idle+1))
    sleep "$nap"
  done
}

digest() {
  mark facts
  if cd "$p" 2>/dev/null && [ -f session.jsonl ]; then
    sed -n '/^{"type":"run_started"/p' session.jsonl | tail -n 1; echo
    sed -n '/^{"type":"state_changed"/p' session.jsonl | tail -n 1; echo
    sed -n '/^{"type":"run_ended"/p' session.jsonl | tail -n 1
  fi
  mark end
}

list() {
  path "$1"
  if [ -d "$v" ]; then
    for d in "$v"/*/; do
      d=${d%/}; is_run "$d" || continue
      mark run "$(hex "${d##*/}")"
      ( cd "$d" && [ -f session.jsonl ] && {
        sed @THIN@ session.jsonl
        mark newest; tail -n 12 session.jsonl
        if [ -f tags.json ] && ! [ -h tags.json ]; then mark tags; head -c 65536 tags.json; fi
      } )
    done
    mark end "$(date +%s)"
  elif [ -e "$v" ]; then mark other
  else mark none; fi
}

alive() {
  tag=$1 pid=$2; path "$3"
  cd "$v" 2>/dev/null
  free=-
  if command -v flock >/dev/null && [ -f session.jsonl ]; then
    flock -n -s 9 9<session.jsonl
    case $? in 0) free=1;; 1) free=0;; esac
  fi
  boot=$(cat /proc/sys/kernel/random/boot_id || echo -)
  stat=$(tr '\n' ' ' </proc/"$pid"/stat)
  p=$v; measure
  say alive "$tag" "$free" "$boot" "${s:--}" "$stat"
}

no() { say put "$a" no "$*"; exit; }

put() {
  if [ -h "$p" ]; then
    set -- $(ls -lnd "$p"); [ "${3:-}" = 0 ] || [ "${3:-}" = "$(id -u)" ] || no 'it is a link of another user'
  fi
  cd -P "$p" 2>/dev/null || no 'the run directory is not there'
  here=$(pwd -P; echo .)
  cd -P commands 2>/dev/null || no 'its commands/ is not there'
  there=$(pwd -P; echo .)
  [ "${there%??}" = "${here%??}/commands" ] || no 'its commands/ is a link'
  set -C
  why=$( { printf %s "$j" >".$a"; } 2>&1 ) || { rm -f ".$a"; no "it cannot be written there: ${why##*: }"; }
  why=$(mv -f ".$a" "$a" 2>&1) || { rm -f ".$a"; no "it cannot be written there: ${why##*: }"; }
  say put "$a" ok
}

withdraw() {
  cd -P "$p/commands" 2>/dev/null && rm "$a" 2>/dev/null && say withdraw "$a" ok || say withdraw "$a" no
}

f=
say hello; mark hello
while IFS=' ' read -r verb a b c d; do
  case $verb in
    open) open "$a" </dev/null 2>/dev/null;;
    follow) follow "$a" "$b" "$c $d" </dev/null 2>/dev/null & f=$!;;
    digest) (digest) </dev/null 2>/dev/null;;
    list) (list "$a") </dev/null 2>/dev/null;;
    put) IFS= read -r j; (put) </dev/null;;
    withdraw) (withdraw) </dev/null;;
    alive) (alive "$a" "$b" "$c") </dev/null 2>/dev/null;;
  esac
done
[ -z "$f" ] || kill "$f"
"""
"""The script; `first_line` fills in what begins with “@”."""

_LEFT_OUT = (
    "batches",
    "batch_norm",
    "batch_norm_channels",
    "heartbeat",
    "overhead",
    "system",
    "time_split",
    "validation_batches",
    "weight_updates",
)
"""Facts of which a log has most and that a list of runs does not need, but for the newest ones."""


def first_line(mark: str) -> bytes:
    """Return the script as the one line that `COMMAND` reads.

    Args:
        mark: Letters and digits that nobody knows; what the script answers begins with them.
    """
    thin = " ".join(f"""-e '/^{{"type":"{kind}"/d'""" for kind in _LEFT_OUT)
    script = SCRIPT.replace("@MARK@", mark).replace("@THIN@", thin)
    return script.replace("\\", "\\\\").replace("\n", "\\n").encode() + b"\n"


def escaped(path: str) -> str:
    """Return a path as the shell's `printf %b` reads it: an octal escape for each byte, and no other character."""
    return "".join(f"\\0{byte:03o}" for byte in os.fsencode(path))


def cksum(data: bytes) -> str:
    """Return what POSIX's `cksum` prints of some bytes: its sum, and their length."""
    length, size = bytearray(), len(data)
    while size:
        length.append(size & 0xFF)
        size >>= 8
    crc = 0
    for byte in data + bytes(length):
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return f"{crc ^ 0xFFFFFFFF} {len(data)}"
