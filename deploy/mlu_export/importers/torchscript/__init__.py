"""TorchScript files: their graph is read and its operators are carried out one by one; no code of theirs is run."""
