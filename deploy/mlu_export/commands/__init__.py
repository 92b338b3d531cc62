"""One module per command of ``mlu-export``: ``declare`` its arguments, ``run`` it."""
