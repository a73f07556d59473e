"""`fts completion bash|zsh|fish`: a script that completes commands, options and their choices.

The script is made from the parser and is static: completing never starts Python, which would take a third of a second.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tui.cli.commands import ALONE
from tui.cli.console import say
from tui.cli.parsing import offered

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class Flag:
    """An option as it is typed; `choices` are what may follow it; a switch takes nothing."""

    names: tuple[str, ...]
    help: str
    switch: bool
    choices: tuple[str, ...]


@dataclass
class Node:
    """A command: the words that lead to it, what may come next, and its options."""

    path: tuple[str, ...]
    words: dict[str, str] = field(default_factory=dict)
    flags: list[Flag] = field(default_factory=list)


def add(commands: Any) -> None:
    """Declare the command."""
    made = commands.add_parser(
        "completion",
        help=ALONE["completion"],
        description="Print a completion script: source <(fts completion bash), the same for zsh, or fts completion fish | source.",
    )
    made.add_argument("shell", choices=SHELLS)
    made.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from tui.cli.main import parser

    say(script(parser(), arguments.shell), end="")
    return 0


def script(made: argparse.ArgumentParser, shell: str) -> str:
    """The completion script of the parser for one of SHELLS."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](list(nodes(made)))


def nodes(made: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[Node]:
    """Every command of the parser, the outermost first."""
    node = Node(path)
    below: list[tuple[str, argparse.ArgumentParser]] = []
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction):
            told = {choice.dest: choice.help or "" for choice in action._choices_actions}
            node.words |= {name: _line(told.get(name, "")) for name in action.choices}
            below += list(action.choices.items())
        elif action.option_strings:
            node.flags.append(_flag(action))
        else:
            node.words |= dict.fromkeys(offered(action), "")
    yield node
    for name, each in below:
        yield from nodes(each, (*path, name))


def _flag(action: argparse.Action) -> Flag:
    switch = action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction)
    return Flag(tuple(action.option_strings), _line(action.help or ""), switch, offered(action))


def _line(text: str) -> str:
    return " ".join(text.replace("%%", "%").split())


def _cases(made: list[Node]) -> Iterator[str]:
    """A shell's case branches: after the words so far, which words and options may come next."""
    for node in made:
        names = shlex.quote(" ".join(name for flag in node.flags for name in flag.names))
        yield f"    {shlex.quote(' '.join(node.path))}) fts_words={shlex.quote(' '.join(node.words))} fts_flags={names} ;;"


def _takes(made: list[Node]) -> Iterator[str]:
    """Case branches too: what the option that was just typed takes."""
    for node in made:
        for flag in node.flags:
            for name in () if flag.switch else flag.names:
                taken = shlex.quote(" ".join(flag.choices) or "<file>")
                yield f"    {shlex.quote(' '.join([*node.path, name]))}) fts_takes={taken} ;;"


# What bash and zsh share. The way is made of the typed words that are commands; files complete what has no choices.
_BODY = """\
# Completion of fts for {shell}; made by `fts completion {shell}`.
_fts_next() {{
  fts_words= fts_flags=
  case "$1" in
{cases}
  esac
}}
_fts_option() {{
  fts_takes=
  case "$1" in
{takes}
  esac
}}
_fts_look() {{  # the option or word before, then the words so far
  local before="$1" each; shift
  fts_way=
  for each in "$@"; do
    _fts_next "$fts_way"
    case " $fts_words " in *" $each "*) fts_way="${{fts_way:+$fts_way }}$each" ;; esac
  done
  _fts_option "${{fts_way:+$fts_way }}$before"
  _fts_next "$fts_way"
}}
"""
_BASH = """\
_fts_at_file() {  # @FILE: the file's text is the value
  local each
  for each in $(compgen -f -- "$1"); do
    [ -d "$each" ] && each="$each/"
    COMPREPLY+=("@$each")
  done
  compopt +o filenames -o nospace 2>/dev/null
  return 0
}
_fts() {  # bash makes words of their own of @ and =
  local current="${COMP_WORDS[COMP_CWORD]}" at=$((COMP_CWORD - 1)) fts_way fts_words fts_flags fts_takes
  COMPREPLY=()
  case "${COMP_WORDS[at]}" in
    @) current="@$current" at=$((at - 1)) ;;
    =) at=$((at - 1)) ;;
  esac
  _fts_look "${COMP_WORDS[at]}" "${COMP_WORDS[@]:1:at}"
  case "$fts_takes:$current" in
    "<file>":@*) _fts_at_file "${current#@}" ;;
    "<file>":*) COMPREPLY=($(compgen -f -- "$current")) ;;
    :-*) COMPREPLY=($(compgen -W "$fts_flags" -- "$current")) ;;
    :*) if [ -n "$fts_words" ]; then COMPREPLY=($(compgen -W "$fts_words" -- "$current"))
        else COMPREPLY=($(compgen -f -- "$current")); fi ;;
    *) COMPREPLY=($(compgen -W "$fts_takes" -- "$current")) ;;
  esac
}
complete -o filenames -F _fts fts
"""
_ZSH = """\
_fts() {
  local fts_way fts_words fts_flags fts_takes
  _fts_look "${words[CURRENT-1]}" "${(@)words[2,CURRENT-1]}"
  if [[ $fts_takes == "<file>" ]]; then compset -P '@'; _files
  elif [[ -n $fts_takes ]]; then compadd -- ${=fts_takes}
  elif [[ ${words[CURRENT]} == -* ]]; then compadd -- ${=fts_flags}
  elif [[ -n $fts_words ]]; then compadd -- ${=fts_words}
  else _files; fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _fts fts
"""


def _bash(made: list[Node]) -> str:
    return _body(made, "bash") + _BASH


def _zsh(made: list[Node]) -> str:
    return "#compdef fts\n" + _body(made, "zsh") + _ZSH


def _body(made: list[Node], shell: str) -> str:
    return _BODY.format(shell=shell, cases="\n".join(_cases(made)), takes="\n".join(_takes(made)))


def _fish(made: list[Node]) -> str:
    lines = ["# Completion of fts for fish; made by `fts completion fish`.", _FISH.rstrip()]
    for node in made:
        way = " ".join(node.path)
        lines += [
            f"complete -c fts -f -n '__fts_at {way}' -a {_quoted(word)}{_told(text)}"
            for word, text in node.words.items()
        ]
        lines += [f"complete -c fts -n '__fts_under {way}' {_fish_flag(flag)}" for flag in node.flags]
    return "\n".join(lines) + "\n"


_FISH = """\
function __fts_typed
    set -l typed (commandline -opc)
    set -e typed[1]
    string match -v -- '-*' $typed
end
function __fts_at
    set -l typed (__fts_typed)
    test "$typed" = "$argv"
end
function __fts_under
    set -l typed (__fts_typed)
    set -l last (count $argv)
    test $last -eq 0; and test (count $typed) -eq 0; and return 0
    test $last -gt 0; and test (count $typed) -ge $last; and test "$typed[1..$last]" = "$argv"
end
"""


def _fish_flag(flag: Flag) -> str:
    names = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names]
    if flag.choices:
        names.append(f"-x -a {_quoted(' '.join(flag.choices))}")
    elif not flag.switch:
        names.append("-r")
    return " ".join(names) + _told(flag.help)


def _told(text: str) -> str:
    return f" -d {_quoted(text)}" if text else ""


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
