"""What commands do, step by step: build, quantize, compile, convert, search, verify."""
