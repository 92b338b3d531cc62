"""The device ``mlu`` as torch sees it: a tensor that records what is done with it until somebody wants the numbers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree
from torch.utils.data import get_worker_info

from mlu_agent.errors import UserError

from ..recording.record import RECORDERS, reshape
from ..recording.values import Constant, PartWriteError, UnsupportedError, Value, new_identity
from .calls import FLOATS, ON_CPU, OWN, base_of, check_operands, stays_on_device
from .functions import FUNCTIONS
from .materialize import FORKED, materialize
from .settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICE = "mlu"
# In-place operators that give a tensor whole new contents.
_OVERWRITING = ("aten.copy_.default", "aten.fill_.Scalar", "aten.zero_.default")


class MluTensor(torch.Tensor):  # type: ignore[misc]
    """A tensor on the device. ``host`` holds its numbers (a CPU tensor); where it is None, ``value`` can give them.

    ``part`` marks a view of some elements of another tensor: writing into it would have to change that one, too, and is
    refused. ``base`` is the tensor that this one shows in another shape: it gets what is written here.
    """

    host: Any
    value: Value | None
    identity: int
    part: bool
    base: MluTensor | None

    @staticmethod
    def __new__(cls: type[MluTensor], host: Any = None, value: Value | None = None) -> MluTensor:
        shape = host.shape if value is None else value.shape
        dtype = host.dtype if value is None else _dtype_of(value)
        made: MluTensor = torch.Tensor._make_wrapper_subclass(  # noqa: SLF001 - torch's way to make such a class
            cls, shape, dtype=dtype, device=torch.device(DEVICE, 0)
        )
        made.host, made.value, made.identity, made.part = host, value, new_identity(), False
        made.base = None
        return made

    def __repr__(self, **_: Any) -> str:
        return f"{host_of(self)!r:s}".replace(")", ", device='mlu:0')", 1) if self.dim() == 0 else _text(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Files hold its numbers as a CPU tensor, which any torch loads."""
        numbers = host_of(self)
        is_parameter = isinstance(self, torch.nn.Parameter)
        return (torch.nn.Parameter(numbers, requires_grad=False) if is_parameter else numbers).__reduce_ex__(protocol)

    def tolist(self) -> Any:
        """Its numbers in lists, as every device's tensors give them."""
        return host_of(self).tolist()

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        own = FUNCTIONS.get(function)
        if own is not None and not isinstance(arguments[0:1][0], torch.nn.Parameter):
            return own(*arguments, **named)
        del types
        with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001 - torch's own way, without its cast of every result
            return function(*arguments, **named)

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        del types
        return dispatch(function, arguments, named or {})


def _dtype_of(value: Value) -> Any:
    if value.logical or value.counts:
        return torch.bool if value.logical else torch.int64
    return torch.float16 if value.half else torch.float32


def _text(tensor: MluTensor) -> str:
    text = repr(host_of(tensor))
    return f"{text[:-1]}, device='mlu:0')"


class Capture:
    """While a traced model is replayed: what derives from its inputs is network, everything else is constant."""

    active: Capture | None = None

    def __init__(self) -> None:
        self.error: Exception | None = None

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Capture]:
        before, cls.active = cls.active, cls()
        try:
            yield cls.active
        finally:
            cls.active = before


def host_of(tensor: MluTensor) -> Any:
    """The numbers as a CPU tensor, computed if they are not there yet."""
    if tensor.host is None:
        value = tensor.value
        assert value is not None
        if Capture.active is not None:
            raise UnsupportedError(
                "a traced model reads numbers that it computes itself, which the compiled network cannot do; keep such "
                "code out of forward() or use a detection operator of torch_mlu"
            )
        materialize([value])
        tensor.host = torch.from_numpy(value.array.copy()).to(tensor.dtype)  # type: ignore[union-attr]
    return tensor.host


def to_device(tensor: Any) -> MluTensor:
    """A CPU tensor on the device. Raises UserError in a DataLoader's worker, which could not hand it over."""
    if get_worker_info() is not None:
        raise UserError(FORKED)
    return MluTensor(tensor.detach().clone(memory_format=torch.contiguous_format))


def dispatch(function: Any, arguments: Any, named: dict[str, Any]) -> Any:
    """Records an operator if it can be, else computes it on the CPU; in a traced model that is an error."""
    name = str(function)
    if name == "aten._to_copy.default":
        return _copy_to(*arguments, **named)
    if name == "aten.detach.default":
        return _alias(arguments[0])
    if name.split(".")[1] in _SHAPED_ALIKE and isinstance(arguments[0], MluTensor):
        return _shaped_alike(function, name, arguments, named)
    base, refused = base_of(name), None
    try:
        if base:
            check_operands(base, arguments, DEVICE)
        recorder = RECORDERS.get(name)
        if recorder is not None and _is_recordable(arguments) and _takes_truth(name, arguments):
            return _record(name, recorder, arguments, named)
        if base not in ("", *ON_CPU):
            raise UnsupportedError(f"{OWN}{base} takes tensors that the network computes, and these are its constants")
    except UnsupportedError as error:
        if Capture.active is not None:
            Capture.active.error = Capture.active.error or error
        if Capture.active is not None or stays_on_device(base, arguments):
            raise
        refused = error
    return _on_host_instead(refused, function, name, arguments, named)


def _on_host_instead(refused: UnsupportedError | None, function: Any, name: str, arguments: Any, named: Any) -> Any:
    """On the CPU, and the reason where it is one of ours; which is also told where the CPU cannot, either."""
    if refused is None:
        return _on_host(function, name, arguments, named)
    try:
        made = _on_host(function, name, arguments, named)
    except RuntimeError as error:
        if name.startswith(OWN):
            raise refused from error
        raise
    SETTINGS.warn(f"{refused}; it runs on the CPU")
    return made


def _is_recordable(arguments: Any) -> bool:
    tensors = [one for one in pytree.tree_leaves(arguments) if isinstance(one, MluTensor)]
    network = [one for one in tensors if _is_network(one)]
    return bool(network)


def _takes_truth(name: str, arguments: Any) -> bool:
    """Whether the operator means the same for truth values that are 1 and 0 in a tensor of floats."""
    if not any(_is_logical(one) for one in pytree.tree_leaves(arguments)):
        return True
    base = name.split(".")[1].rstrip("_")
    if base == "mul":
        return any(isinstance(one, MluTensor) and not _is_logical(one) for one in arguments)
    return base in (*_LOGICAL, *_COMPARING, *_PARTS, *_SHAPES, *_COPIES, "sum")


def _is_network(tensor: MluTensor) -> bool:
    """Whether it is a result or an input of the network, rather than one of its constants."""
    if isinstance(tensor, torch.nn.Parameter) or not (tensor.dtype in FLOATS or _is_logical(tensor)):
        return False
    if Capture.active is None:
        return True
    return tensor.value is not None and tensor.host is None


def _is_logical(one: Any) -> bool:
    """Whether it is the result of a comparison that was recorded."""
    return isinstance(one, MluTensor) and one.value is not None and one.value.logical


def value_of(tensor: MluTensor) -> Value:
    """What was recorded of a tensor; one that holds numbers becomes a value with them, once."""
    if tensor.value is None:
        array = host_of(tensor).numpy()
        tensor.value = Value(tuple(array.shape), tensor.dtype == torch.float16, array=array)
    return tensor.value


def _operand(one: Any, first: bool) -> Any:
    """What a recorder takes: values for results, constants for weights."""
    if isinstance(one, MluTensor) and first and _is_network(one):
        return value_of(one)
    if isinstance(one, MluTensor):
        if Capture.active is not None and one.host is None:
            raise UnsupportedError("an operator takes a tensor from outside the traced model")
        return Constant(host_of(one).numpy(), one.identity)
    if isinstance(one, torch.Tensor):
        if one.dim() == 0:
            return one.item()
        return Constant(one.detach().numpy(), _identity_of(one))
    return one


_seen: dict[int, tuple[Any, int]] = {}


def _identity_of(tensor: Any) -> int:
    """The same for a CPU tensor each time it comes (scales of quantized layers): it is kept alive for that."""
    if id(tensor) not in _seen:
        _seen[id(tensor)] = (tensor, new_identity())
    return _seen[id(tensor)][1]


# Constants as large as a tensor.
_SHAPED_ALIKE = (
    "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty",
)  # fmt: skip
# Views: of some elements or in another order, and of all elements in another shape.
_PARTS = ("slice", "select", "split", "split_with_sizes", "unbind", "permute", "transpose", "t", "expand")
_COPIES = ("clone", "contiguous", "reshape")
_SHAPES = ("view", "_unsafe_view", "unsqueeze", "squeeze", "alias", "detach", "_reshape_alias")
# Operators whose tensors are operands; in all others only the first one is, the rest are weights.
_OPERANDS = (
    "add", "sub", "mul", "div", "maximum", "minimum", "max", "min", "rsub", "cat", "stack", "bmm", "baddbmm",
    "scaled_dot_product_attention",
)  # fmt: skip
# Those that work on truth values, and results that are some.
_LOGICAL = (
    "logical_and", "logical_or", "logical_xor", "logical_not", "bitwise_and", "bitwise_or", "bitwise_xor",
    "bitwise_not",
)  # fmt: skip
_COMPARING = ("gt", "lt", "ge", "le", "eq", "ne", "where", "masked_fill")


def _record(name: str, recorder: Any, arguments: Any, named: dict[str, Any]) -> Any:
    base = name.split(".")[1].rstrip("_")
    several = base in (*_OPERANDS, *_LOGICAL, *_COMPARING) or base.endswith("_detection_output")
    position = 1 if base == "addmm" else 0
    operands = [
        pytree.tree_map(lambda one, first=(several or index == position): _operand(one, first), argument)
        for index, argument in enumerate(arguments)
    ]
    options = {key: _operand(one, first=False) for key, one in named.items() if key != "memory_format"}
    result = recorder(*operands, **options)
    if _is_logical(arguments[0]) and base in (*_PARTS, *_SHAPES, *_COPIES):
        for one in pytree.tree_leaves(result):
            one.logical = True
    if name.split(".")[1].endswith("_"):
        return _overwrite(name, arguments[0], result)
    made = pytree.tree_map(lambda one: MluTensor(value=one) if isinstance(one, Value) else _placeholder(one), result)
    return _marked(base, arguments, made)


def _marked(base: str, arguments: Any, made: Any) -> Any:
    """Lets a view remember what it is a view of."""
    for one in pytree.tree_leaves(made):
        if isinstance(one, MluTensor) and base in (*_PARTS, *_SHAPES):
            source = arguments[0]
            one.part = source.part or base in _PARTS
            one.base = source if base in _SHAPES else None
    return made


def _shaped_alike(function: Any, name: str, arguments: Any, named: dict[str, Any]) -> MluTensor:
    """Constants that take only their shape from a tensor: in a traced model they depend on nothing."""
    source = arguments[0]
    options = {key: one for key, one in named.items() if key not in ("device", "pin_memory", "layout", "memory_format")}
    numbers = function(torch.zeros(source.shape, dtype=source.dtype), *arguments[1:], **options)
    made = MluTensor(torch.zeros_like(numbers) if "empty" in name else numbers)
    made.identity = hash((name, tuple(numbers.shape), str(numbers.dtype), str(arguments[1:])))
    return made


def _placeholder(one: Any) -> Any:
    """The further results of batch-norm and pooling, which inference does not read."""
    return MluTensor(torch.empty(0)) if one is None else one


def _overwrite(name: str, tensor: MluTensor, value: Value) -> MluTensor:
    _refuse_part(name, tensor)
    shown: MluTensor | None = tensor
    while shown is not None:
        same = tuple(shown.shape) == value.shape
        shown.host, shown.value = None, value if same else reshape(value, tuple(shown.shape))
        shown.identity, shown = new_identity(), shown.base
    return tensor


def _refuse_part(name: str, tensor: MluTensor) -> None:
    if tensor.part:
        raise PartWriteError(
            f"{name}: writing into a part of a tensor of the device is not supported; build the result with torch.cat "
            "or torch.where, or compute on the CPU"
        )


def _alias(tensor: MluTensor) -> MluTensor:
    made = MluTensor(tensor.host) if tensor.value is None else MluTensor(tensor.host, tensor.value)
    made.identity, made.part, made.base = tensor.identity, tensor.part, tensor
    return made


def _copy_to(tensor: Any, *, dtype: Any = None, device: Any = None, **_: Any) -> Any:
    """``to``, ``half``, ``float``, ``cpu`` and ``type``."""
    dtype = dtype or tensor.dtype
    leaves = device is not None and torch.device(device).type != DEVICE
    if not isinstance(tensor, MluTensor):
        return to_device(tensor.to(dtype))
    if leaves:
        return host_of(tensor).to(device=device, dtype=dtype, copy=True)
    if tensor.host is None and dtype in FLOATS:
        value = value_of(tensor)
        if dtype != tensor.dtype:
            value = Value(value.shape, dtype == torch.float16, "cast", (value,))
        return MluTensor(value=value)
    return MluTensor(host_of(tensor).to(dtype=dtype, copy=True))


def _on_host(function: Any, name: str, arguments: Any, named: dict[str, Any]) -> Any:
    """Computes on the CPU. In a traced model only what its inputs do not reach may come here."""
    tensors = [one for one in pytree.tree_leaves((arguments, named)) if isinstance(one, MluTensor)]
    if Capture.active is not None and any(one.host is None for one in tensors):
        error = UnsupportedError(
            f"the traced model uses {name.rsplit('.', 1)[0].replace('.', '::')}, which the compiled network has no "
            "operator for; keep it out of the traced module or write it with convolutions, pools, elementwise "
            "operators and reshapes"
        )
        Capture.active.error = Capture.active.error or error
        raise error
    written = arguments[0] if arguments and _writes(function) else None
    if isinstance(written, MluTensor):
        _refuse_part(name, written)
    if name.startswith("aten.") and name not in _OVERWRITING and any(_is_network(one) for one in tensors):
        SETTINGS.warn(f"{name.rsplit('.', 1)[0].replace('.', '::')} has no operator on the device and runs on the CPU")
    options = pytree.tree_map(_to_host, dict(named))
    if options.get("device") is not None:
        options["device"] = torch.device("cpu")
    options.pop("pin_memory", None)
    result = function(*pytree.tree_map(_to_host, arguments), **options)
    if isinstance(written, MluTensor):
        shown: MluTensor | None = written
        while shown is not None:
            numbers = written.host.reshape(shown.shape)
            shown.host, shown.value, shown.identity, shown = numbers, None, new_identity(), shown.base
        return written
    made = pytree.tree_map(lambda one: MluTensor(one) if isinstance(one, torch.Tensor) else one, result)
    if isinstance(made, MluTensor) and tensors and not any(_is_network(one) for one in tensors):
        made.identity = hash((name, str(pytree.tree_map(_name_of, (arguments, dict(named))))))
    return _marked(name.split(".")[1], arguments, made)


def _name_of(one: Any) -> Any:
    """Lets what is computed from weights alone be known again at the next call."""
    return ("tensor", one.identity) if isinstance(one, MluTensor) else one


def _writes(function: Any) -> bool:
    return bool(function._schema.is_mutable)  # noqa: SLF001 - the only place where torch says so


def _to_host(one: Any) -> Any:
    return host_of(one) if isinstance(one, MluTensor) else one
