"""A torch module of the user -> ImportedModel: ``torch.export`` records it, the recorder table does the rest.

Operators whose arguments the network does not compute (priors, position grids) are carried out while importing.
"""

from __future__ import annotations

import contextlib
import io
import logging
import traceback
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import DataError, MluAgentError, UserError

from ...recording.fuse import fused
from ...recording.record import RECORDERS
from ...recording.values import Constant, UnsupportedError, Value, new_identity
from ...support.torch_needed import import_torch
from ...values.heads import AUTO, NONE, HeadRequest
from ..traced import imported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ...values.graph import ImportedModel

PICTURE_CHANNELS = 3


def import_module(module: Any, size: tuple[int, int], heads: HeadRequest | None = None) -> ImportedModel:
    """The float network of an ``nn.Module`` for pictures (1, 3, height, width).

    Output names are ``output`` or ``output0``, ``output1``, … and with ``heads.outputs`` the modules' own paths.
    Raises UnsupportedError naming operator and place, DataError, UserError.
    """
    torch = import_torch()
    asked = (heads or HeadRequest()).check()
    if asked.decode == NONE:
        asked = replace(asked, decode="")
    if asked.decode == AUTO:
        raise UserError(
            "--decode auto finds the heads of ONNX and TorchScript files; of a module, name them with --outputs and "
            "--decode"
        )
    picture = torch.zeros(1, PICTURE_CHANNELS, *size)
    walk = _Walk(torch, _exported(torch, module, picture))
    source, outputs = walk.run(picture, asked.outputs)
    return replace(imported(source, outputs, asked), request=asked)


def import_named(
    module: Any, size: tuple[int, int], request: HeadRequest, names: Sequence[str], notes: Sequence[str]
) -> ImportedModel:
    """The same of a module whose outputs have names already, of which ``request`` speaks."""
    torch = import_torch()
    picture = torch.zeros(1, PICTURE_CHANNELS, *size)
    source, outputs = _Walk(torch, _exported(torch, module, picture)).run(picture, ())
    made = imported(source, [(name, value) for name, (_, value) in zip(names, outputs)], request)
    return replace(made, request=request, notes=tuple(notes))


def _exported(torch: Any, module: Any, picture: Any) -> Any:
    if not isinstance(module, torch.nn.Module):
        raise UserError(f"a network is a torch.nn.Module; this is {type(module).__name__}")
    module = module.float().cpu().eval()
    try:
        with torch.no_grad(), _quiet():
            program = torch.export.export(module, (picture,), strict=False)
            table = torch.export.default_decompositions()
            for operator in [one for one in table if str(one) in RECORDERS]:
                table.pop(operator)  # it is known as it is
            return program.run_decompositions(table)
    except MluAgentError:
        raise
    except Exception as error:  # torch cannot follow it, or the user's code raises anything
        if "data-dependent" in str(error):
            raise DataError(
                f"{_users_place(torch, error)}the module goes other ways, or has other shapes, for other values of the "
                "picture (data-dependent control flow), which a compiled network cannot; make it independent of "
                "values, for example with torch.where, or leave that part out of the module and do it on the host"
            ) from error
        text = " ".join(str(error).split())
        raise DataError(
            f"torch.export cannot follow the module for an input {list(picture.shape)} ({type(error).__name__}: "
            f"{text:.300}); its forward must take one picture and not depend on its values"
        ) from error


def _users_place(torch: Any, error: BaseException) -> str:
    """``FILE, line N: ``, the innermost line that is not torch's own."""
    inside = str(Path(torch.__file__).parent)
    ours = str(Path(__file__).parent)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((inside, ours, "<", contextlib.__file__)):
            return f"{frame.filename}, line {frame.lineno}: "
    return ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings and logs of its own insides; what goes wrong is said in a sentence."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


class _Walk:
    """Carries the exported program out over recorded values."""

    def __init__(self, torch: Any, program: Any) -> None:
        self.torch, self.program = torch, program
        self.tree = torch.utils._pytree  # noqa: SLF001 - the public one is another package's
        self.values: dict[str, Any] = {}
        self.constants: dict[int, tuple[Any, Constant]] = {}

    def run(self, picture: Any, wanted: tuple[str, ...]) -> tuple[Value, list[tuple[str, Value]]]:
        signature = self.program.graph_signature
        if len(signature.user_inputs) != 1:
            raise DataError(f"the module takes {len(signature.user_inputs)} inputs; a network takes one picture")
        source = Value(tuple(picture.shape), False, "input")
        self.values[signature.user_inputs[0]] = source
        for holder in (signature.inputs_to_parameters, signature.inputs_to_buffers):
            for name, path in holder.items():
                self.values[name] = self._held(path)
        for name, path in signature.inputs_to_lifted_tensor_constants.items():
            self.values[name] = self.program.constants[path].detach()
        nodes = list(self.program.graph.nodes)
        ends = self._ends(nodes, wanted)
        needed = _needed(nodes, ends)
        for node in nodes:
            if node.op == "call_function" and node in needed:
                self.values[node.name] = self._call(node)
        return source, [(name, self._output(name, node)) for name, node in ends]

    def _held(self, path: str) -> Any:
        state = self.program.state_dict
        return (state[path] if path in state else self.program.constants[path]).detach()

    def _ends(self, nodes: list[Any], wanted: tuple[str, ...]) -> list[tuple[str, Any]]:
        user = set(self.program.graph_signature.user_outputs)
        returned = [node for node in self.tree.tree_leaves(nodes[-1].args[0]) if getattr(node, "name", None) in user]
        own = [("output" if len(returned) == 1 else f"output{index}", node) for index, node in enumerate(returned)]
        if wanted:
            paths = {**{path: node for node in nodes for path in _paths(node)}, **dict(own)}
            unknown = [name for name in wanted if name not in paths]
            if unknown:
                known = ", ".join(path for path in list(paths)[-8:])
                raise UserError(f"--outputs {unknown[0]}: the module has no part of that name; it ends with {known}")
            return [(name, paths[name]) for name in wanted]
        return own

    def _output(self, name: str, node: Any) -> Value:
        value = self.values.get(node.name)
        if not isinstance(value, Value):
            raise DataError(f"{name} does not depend on the picture; a network returns tensors that it computes")
        return value

    def _call(self, node: Any) -> Any:
        arguments, named = self.tree.tree_map(self._argument, (tuple(node.args), dict(node.kwargs)))
        place, operator = _place(node), str(node.target)
        leaves = self.tree.tree_leaves((arguments, named))
        of_the_picture = any(isinstance(one, Value) for one in leaves)
        # Attention bears the tag for the sake of its dropout, of which its recorder knows.
        recorded = of_the_picture and operator in RECORDERS
        if not recorded and self.torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise UnsupportedError(
                f"{place}: operator {operator} draws numbers at random, other ones each time, and a compiled network "
                "has none; leave it out, or make its numbers a buffer of the module"
            )
        if not of_the_picture:
            return self._computed(node, arguments, named)
        if operator == "<built-in function getitem>":
            return arguments[0][arguments[1]]
        recorder = RECORDERS.get(operator)
        if recorder is None:
            raise UnsupportedError(
                f"{place}: operator {operator} has no counterpart on the device; replace it with supported ones, or "
                "end the network before it with --outputs and compute it on the host"
            )
        return self._recorded(recorder, place, operator, arguments, named)

    def _recorded(self, recorder: Callable[..., Any], place: str, operator: str, arguments: Any, named: Any) -> Any:
        arguments, named = self.tree.tree_map(self._constant, (arguments, named))
        try:
            return fused(recorder(*arguments, **named), place)
        except UnsupportedError as error:
            raise UnsupportedError(f"{place} ({operator}): {error}") from error
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise UnsupportedError(
                f"{place}: operator {operator} is used in a way that has no counterpart on the device ({error}); "
                "replace it, or end the network before it with --outputs"
            ) from error

    def _argument(self, one: Any) -> Any:
        return self.values[one.name] if isinstance(one, self.torch.fx.Node) else one

    def _constant(self, one: Any) -> Any:
        if not isinstance(one, self.torch.Tensor):
            return one
        if id(one) not in self.constants:
            self.constants[id(one)] = (one, Constant(np.array(one.detach().numpy()), new_identity()))
        return self.constants[id(one)][1]

    def _computed(self, node: Any, arguments: Any, named: Any) -> Any:
        try:
            with self.torch.no_grad():
                return node.target(*arguments, **named)
        except Exception as error:  # any operator of torch
            raise DataError(f"{_place(node)}: {node.target} cannot be carried out: {error!s:.200}") from error


def _needed(nodes: list[Any], ends: list[tuple[str, Any]]) -> set[Any]:
    """What the outputs are made of."""
    needed = {node for _, node in ends}
    for node in reversed(nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    return needed


def _paths(node: Any) -> list[str]:
    """The modules that a node belongs to; the last node of a module makes its output."""
    stack = node.meta.get("nn_module_stack") or {}
    return [str(path) for path, _ in stack.values() if path]


def _place(node: Any) -> str:
    """Where a node stands: the path of its innermost module, and the node where that module has several."""
    paths = _paths(node)
    return paths[-1] if paths else str(node.name)
