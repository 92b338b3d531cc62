"""The commands of ``mlu-agent``, one module each: ``declare(parser)`` names its arguments, ``run(arguments)`` does it
and returns the exit code."""
