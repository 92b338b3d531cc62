"""What a user asks of a network's outputs, made whole by what the network itself shows: one sentence says what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlu_agent.errors import DataError, UserError
from mlu_agent.model.output_spec import DISTANCES

from ...values.heads import AUTO, NONE, HeadRequest
from .guesses import levels_of
from .recognise import recognise

if TYPE_CHECKING:
    from .shaped import Found
    from .tail import Tail

MOST_NAMES = 12  # in one sentence


def resolve(asked: HeadRequest, tail: Tail) -> tuple[HeadRequest, tuple[str, ...]]:
    """The request with rule, outputs, strides and anchors, and the sentences about it. Raises UserError.

    Where nothing is said, heads are looked for, and a network without any keeps its outputs.
    """
    if asked.decode == NONE:
        return replace(asked, decode=""), ()
    silent = asked == HeadRequest()
    if not silent and not asked.decode:
        return asked, () if asked.classify else _plain(asked, tail)
    if not silent and asked.decode != AUTO and asked.outputs:
        return asked, ()
    reason = "the boxes of every rule that has such channels are others"
    try:
        found = recognise(tail)
    except DataError as error:
        found, reason = None, str(error)
    if found is not None:
        return _agreed(asked, found)
    if asked.decode == AUTO:
        raise UserError(_unknown(tail, reason))
    return asked, _plain(asked, tail) if silent else ()


def _plain(asked: HeadRequest, tail: Tail) -> tuple[str, ...]:
    """That outputs are not decoded, where there are convolutions before them that may be heads."""
    if len(levels_of(tail.cuts, tail.size)) < 2:
        return ()
    named = tuple(tail.cuts) == asked.outputs
    hint = "its outputs are taken as plain tensors; if they are detections, say --decode"
    return (hint if named else f"{hint} and end it at its heads with --outputs: {_names(tuple(tail.cuts))}",)


def _agreed(asked: HeadRequest, found: Found) -> tuple[HeadRequest, tuple[str, ...]]:
    """What was found, where it is not other than what is asked."""
    explicit = asked.decode not in ("", AUTO)
    if found.boxes is not None and asked.decode == found.boxes.decode:
        more = tuple(name for name in found.request.outputs if name not in found.boxes.outputs)
        found = replace(found, request=found.boxes, others=more, boxes=None)
    request = found.request
    if explicit and not found.decoded and (asked.strides or asked.anchors or asked.decode != request.decode):
        return asked, ()
    if explicit and asked.decode != request.decode:
        raise UserError(
            f"--decode {asked.decode}: the network computes its boxes as --decode {request.decode} does ({_kind(found)}"
            "); leave --decode out, or name other tensors with --outputs"
        )
    for key in ("strides", "anchors", "keypoints"):
        own, given = getattr(request, key), getattr(asked, key)
        if given and own and given != own:
            raise UserError(f"--{key}: those of the network are {own}, not {given}; leave --{key} out")
    if asked.keypoints and not request.keypoints:
        request = replace(request, keypoints=asked.keypoints).complete()
    if found.others and not explicit:
        raise UserError(
            f"beside boxes ({_kind(found)}) the network computes more of {_names(found.others)}, such as masks or key "
            f"points, which --decode {request.decode} leaves out: say so with --decode {request.decode}, or --decode "
            "none for its own outputs"
        )
    left = f"; {_names(found.others)} are left out" if found.others else ""
    how = "its outputs are boxes decoded from" if found.decoded else "its outputs have the sizes of"
    options = f"--decode {request.decode} --outputs {','.join(request.outputs)}{_lists(request)}"
    note = f"{how} heads of {_kind(found)}, which the agent decodes{left}: built with {options}"
    return request, (f"{note}; --decode none keeps the network's own outputs",)


def _kind(found: Found) -> str:
    reg = f", {found.reg_max} distances a side" if found.request.decode in DISTANCES and found.reg_max > 1 else ""
    return f"{found.request.decode} with {found.classes} classes at strides {_list(found.strides)}{reg}"


def _lists(request: HeadRequest) -> str:
    strides = f" --strides {_list(request.strides)}" if request.strides else ""
    heads = "/".join(",".join(f"{side:g}" for pair in head for side in pair) for head in request.anchors)
    keypoints = f" --keypoints {_list(request.keypoints)}" if request.keypoints else ""
    return strides + (f" --anchors {heads}" if heads else "") + keypoints


def _unknown(tail: Tail, reason: str) -> str:
    cuts = ", ".join(f"{name} {list(shape)}" for name, shape in list(tail.cuts.items())[:MOST_NAMES])
    if not cuts:
        return f"--decode auto: no heads are found before its outputs ({reason}): name the rule, and --outputs"
    return (
        f"--decode auto: its outputs are none that a rule of the agent computes ({reason}); the convolutions before "
        f"them are {cuts}: name the rule with --decode, and those that are the heads with --outputs"
    )


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _list(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))
