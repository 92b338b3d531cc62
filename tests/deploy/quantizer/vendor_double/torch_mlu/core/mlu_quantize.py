"""torch_mlu.core.mlu_quantize, as far as the flow needs it."""

from mlu_export.quantizer.dynamic import quantize_dynamic_mlu as _quantize
from torch_mlu import record


def quantize_dynamic_mlu(model, qconfig_spec=None, dtype=None, mapping=None, inplace=False, gen_quant=False):
    record("quantize_dynamic_mlu", type(model).__name__, gen_quant)
    return _quantize(model, qconfig_spec, dtype, mapping, inplace, gen_quant)
