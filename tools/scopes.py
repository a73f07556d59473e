"""Which expressions of the studio's code are clean: what `plain.py` looks at texts with."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

GATES = {
    "plain",
    "shut",
    "repr",
    "ascii",
    "len",
    "int",
    "float",
    "round",
    "sum",
    "abs",
    "ord",
    "hex",
    "bool",
    "range",
    "id",
    "version",
}
KEEPERS = {  # as clean as what they are given: builtins and the methods of text and lists
    "str", "list", "tuple", "set", "dict", "sorted", "reversed", "min", "max", "next", "iter", "zip", "enumerate", "join", "strip",
    "lstrip", "rstrip", "ljust", "rjust", "center", "lower", "upper", "title", "capitalize", "replace", "format", "removeprefix",
    "removesuffix", "split", "splitlines", "partition", "zfill", "islice", "chain", "cut", "set_cell_size", "copy", "items",
    "values", "keys", "get", "setdefault", "pop", "wrap", "fill", "indent", "fromkeys", "map", "zip_longest", "divmod",
}  # fmt: skip
PADS = {"ljust", "rjust", "center", "zfill"}  # what they are given is a number of cells
DRAWN = {
    "Content",
    "Text",
    "Strip",
    "Panel",
    "Table",
    "Group",
    "Style",
    "styled",
    "assemble",
    "painted",
}  # looked at when made
TRUSTED = {
    "Kind",
    "Column",
    "Page",
    "Remove",
    "int",
    "float",
    "bool",
    "datetime",
    "timedelta",
    "JobStatus",
    "Content",
    "Text",
}
NUMERIC = re.compile(r"(.?[<>=^])?[+\- ]?#?0?\d*[,_]?(\.\d+)?[bdeEfFgGnoxX%]|[,_]")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class House:
    """What is known of all functions and classes by their names: `always` clean, or clean when what they are given is.

    A name is looked for in its own file first; elsewhere all functions of that name must be clean.
    """

    functions: dict[str, dict[Path, list[tuple[Function, str]]]] = field(default_factory=lambda: defaultdict(dict))
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    imported: dict[tuple[Path, str], str] = field(default_factory=dict)  # (file, name) -> the module it comes from
    always: set[tuple[Path, str]] = field(default_factory=set)
    keeping: set[tuple[Path, str]] = field(default_factory=set)

    def learn(self, trees: Mapping[Path, ast.Module]) -> None:
        """Take files in, and see which functions return clean text, until nothing new is seen."""
        for path, tree in trees.items():
            for owner, function in functions(tree):
                self.functions[function.name].setdefault(path, []).append((function, owner))
            self.imported |= {(path, each): module for each, module in imports(tree)}
            self.classes |= {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        before = -1
        while before != len(self.always) + len(self.keeping):
            before = len(self.always) + len(self.keeping)
            for name, places in self.functions.items():
                for path, found in places.items():
                    self._see(path, name, found)

    def _see(self, path: Path, name: str, found: list[tuple[Function, str]]) -> None:
        if (path, name) not in self.always and all(self._returns(path, *each, given=False) for each in found):
            self.always.add((path, name))
        elif (path, name) not in self.keeping and all(self._returns(path, *each, given=True) for each in found):
            self.keeping.add((path, name))

    def _returns(self, path: Path, function: Function, owner: str, *, given: bool) -> bool:
        scope = Scope(self, path, function, owner, given=given)
        results = [node.value for node in own(function) if isinstance(node, ast.Return | ast.Yield) and node.value]
        return bool(results) and all(scope.clean(each) for each in results)

    def known(self, path: Path, call: ast.Call, kind: set[tuple[Path, str]]) -> bool:
        """Whether a function that is called in a file is of a kind; before the dot may stand the module that has it."""
        name = called(call)
        places = self.functions.get(name, {})
        of = (
            ast.unparse(call.func.value)
            if isinstance(call.func, ast.Attribute)
            else self.imported.get((path, name), "")
        )
        asked = [each for each in places if each.stem == of] or ([path] if path in places else list(places))
        return bool(asked) and all((each, name) in kind for each in asked)


class Scope:
    """One function, or a file's own lines: which of its expressions are clean."""

    def __init__(
        self, house: House, path: Path, body: Function | ast.Module, owner: str, *, given: bool = False
    ) -> None:
        self.house, self.path, self.owner, self.given = house, path, owner, given
        self.names: dict[str, list[ast.expr | None]] = defaultdict(list)  # None: something that can't be seen
        self.busy: set[str] = set()
        self.parameters: dict[str, ast.expr | None] = {}
        if not isinstance(body, ast.Module):
            arguments = [*body.args.posonlyargs, *body.args.args, *body.args.kwonlyargs]
            arguments += [each for each in (body.args.vararg, body.args.kwarg) if each]
            self.parameters = {each.arg: each.annotation for each in arguments}
        for node in own(body):
            self._bind(node)

    def _bind(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._to(target, value)
            case ast.AnnAssign(target=target, value=value) if value:
                self._to(target, value)
            case ast.AugAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
                self._to(target, value)
            case ast.For(target=target, iter=value) | ast.AsyncFor(target=target, iter=value):
                self._to(target, value)
            case ast.comprehension(target=target, iter=value):
                self._to(target, value)
            case ast.withitem(context_expr=value, optional_vars=target) if target:
                self._to(target, value)
            case ast.ExceptHandler(name=str(name)):
                self.names[name].append(None)

    def _to(self, target: ast.expr, value: ast.expr) -> None:
        """What a name is bound to; parts of it are as clean as the whole, and a pair of values is taken apart."""
        if isinstance(target, ast.Name):
            self.names[target.id].append(value)
        elif isinstance(target, ast.Starred):
            self._to(target.value, value)
        elif isinstance(target, ast.Tuple | ast.List):
            parts = (
                value.elts if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts) else None
            )
            for place, each in enumerate(target.elts):
                self._to(each, parts[place] if parts else value)

    def clean(self, node: ast.expr | None) -> bool:
        """Whether nothing of a user, a model or a file is in it as it came."""
        match node:
            case None | ast.Constant() | ast.Compare() | ast.Lambda():
                return True
            case ast.JoinedStr(values=parts):
                return all(map(self._piece, parts))
            case ast.BinOp(left=left, op=op, right=right):
                sides = [self.clean(left), self.clean(right)]
                return (
                    all(sides)
                    or (isinstance(op, ast.Mult | ast.Mod) and is_text(left) and sides[1])
                    or _counted(op, left, right)
                )
            case ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                return all(map(self.clean, parts))
            case ast.Dict(values=parts):
                return all(map(self.clean, parts))
            case ast.IfExp(body=one, orelse=other):
                return self.clean(one) and self.clean(other)
            case ast.ListComp(elt=part) | ast.GeneratorExp(elt=part) | ast.SetComp(elt=part) | ast.DictComp(value=part):
                return self.clean(part)
            case (
                ast.Subscript(value=part) | ast.Starred(value=part) | ast.Await(value=part) | ast.NamedExpr(value=part)
            ):
                return self.clean(part)
            case ast.UnaryOp(op=op, operand=part):
                return isinstance(op, ast.Not) or self.clean(part)
            case ast.Name(id=name):
                return self._name(name)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
                return self._call(node)
        return False

    def _piece(self, part: ast.expr) -> bool:
        """A part of an f-string."""
        if not isinstance(part, ast.FormattedValue):
            return True
        spec = part.format_spec.values if isinstance(part.format_spec, ast.JoinedStr) else []
        written = "".join(str(each.value) if isinstance(each, ast.Constant) else "1" for each in spec)
        return part.conversion in (ord("r"), ord("a")) or bool(NUMERIC.fullmatch(written)) or self.clean(part.value)

    def _name(self, name: str) -> bool:
        if name in self.busy:
            return True
        if name in self.names or name in self.parameters:
            self.busy.add(name)
            bound = all(self.clean(value) if value is not None else False for value in self.names.get(name, []))
            self.busy.discard(name)
            return bound and (name not in self.parameters or self.given or _trusted(self.parameters[name]))
        return name.lstrip("_")[:1].isupper()  # a constant, or a class

    def _attribute(self, node: ast.Attribute) -> bool:
        if node.attr.lstrip("_").isupper():
            return True
        if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            return self._own_attribute(node.attr, self.owner, set())
        return self.clean(node.value)

    def _own_attribute(self, name: str, owner: str, seen: set[str]) -> bool:
        """Whether all that the class, or one that it derives from, assigns to the attribute is clean."""
        found = [each for one in _ancestors(self.house, owner, seen) for each in _assigned(one, name)]
        key = f"{owner}.{name}"
        if key in self.busy:
            return True
        self.busy.add(key)
        told = bool(found) and all(self._in(function, value) for function, value in found)
        self.busy.discard(key)
        return told

    def _in(self, function: Function | None, value: ast.expr | str) -> bool:
        if isinstance(value, str):
            return value in TRUSTED
        if function is None:
            return self.clean(value)
        scope = Scope(self.house, self.path, function, self.owner)
        scope.busy = self.busy
        return scope.clean(value)

    def _call(self, node: ast.Call) -> bool:
        name = called(node)
        if name in GATES | DRAWN or self.house.known(self.path, node, self.house.always):
            return True
        if name in PADS and isinstance(node.func, ast.Attribute):
            return self.clean(node.func.value)
        given = [*node.args, *(each.value for each in node.keywords)]
        if (name in KEEPERS or self.house.known(self.path, node, self.house.keeping)) and all(map(self.clean, given)):
            method = isinstance(node.func, ast.Attribute) and name in KEEPERS
            return self.clean(node.func.value) if method and isinstance(node.func, ast.Attribute) else True
        return False


def functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """Every function with the name of the class that holds it."""

    def within(node: ast.AST, owner: str) -> Iterator[tuple[str, Function]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield owner, child
            yield from within(child, child.name if isinstance(child, ast.ClassDef) else owner)

    return within(tree, "")


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(name, the last part of the module that it comes from) of what a file takes from others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((each.asname or each.name, node.module.rpartition(".")[2]) for each in node.names)


def own(body: ast.AST) -> Iterator[ast.AST]:
    """What is in a function, but not in the functions inside it."""
    for child in ast.iter_child_nodes(body):
        if not isinstance(child, Function):
            yield child
            yield from own(child)


def _ancestors(house: House, name: str, seen: set[str]) -> Iterator[ast.ClassDef]:
    node = house.classes.get(name)
    if node is not None and name not in seen:
        seen.add(name)
        yield node
        for base in node.bases:
            yield from _ancestors(house, ast.unparse(base).partition("[")[0], seen)


def _assigned(owner: ast.ClassDef, name: str) -> Iterator[tuple[Function | None, ast.expr | str]]:
    """What a class assigns to an attribute, with the function that does; a declared type where there is no value."""
    for node in owner.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            yield (
                None,
                node.value
                if node.value is not None and "ClassVar" in ast.unparse(node.annotation)
                else ast.unparse(node.annotation),
            )
        elif isinstance(node, ast.Assign) and any(
            isinstance(each, ast.Name) and each.id == name for each in node.targets
        ):
            yield None, node.value
        elif isinstance(node, Function):
            if node.name == name:  # a property
                yield from ((node, each.value) for each in own(node) if isinstance(each, ast.Return) and each.value)
            for each in own(node):
                yield from ((node, value) for value in _to_self(each, name))


def _to_self(node: ast.AST, name: str) -> Iterator[ast.expr]:
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign | ast.AugAssign)
        else []
    )
    value = getattr(node, "value", None)
    for target in targets:
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        values = value.elts if isinstance(value, ast.Tuple) and len(value.elts) == len(parts) else [value] * len(parts)
        for part, each in zip(parts, values, strict=True):
            if (
                isinstance(part, ast.Attribute)
                and part.attr == name
                and ast.unparse(part.value) == "self"
                and each is not None
            ):
                yield each


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _trusted(annotation: ast.expr | None) -> bool:
    return annotation is not None and {part.strip() for part in ast.unparse(annotation).split("|")} <= TRUSTED | {
        "None"
    }


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _counted(op: ast.operator, left: ast.expr, right: ast.expr) -> bool:
    """A literal so many times, or arithmetic that text can't do."""
    return (isinstance(op, ast.Mult) and (is_text(left) or is_text(right))) or isinstance(
        op, ast.Div | ast.FloorDiv | ast.Sub | ast.Pow
    )
