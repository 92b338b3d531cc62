"""A compatible ``torch_mlu`` for porting scripts, on machines without the vendor's: ``mlu-export run SCRIPT.py``.

``values`` holds what was recorded, ``record`` turns torch's operators into it, ``lowering`` makes a network of it and
``execute`` runs that network in the simulator. ``tensor`` is the device as torch sees it, ``trace`` the patched
``torch.jit.trace`` with the export, ``modules`` the names that scripts import, ``run`` the command.
Importing this package loads nothing of torch.
"""
