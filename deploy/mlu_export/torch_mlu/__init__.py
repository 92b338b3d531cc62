"""A compatible ``torch_mlu`` for porting scripts, on machines without the vendor's: ``mlu-export run SCRIPT.py``.

``tensor`` is the device as torch sees it, ``device`` makes torch know it, ``functions`` are those of torch that it
takes over. ``trace`` is the patched ``torch.jit.trace`` with the export, ``description`` the manifest beside it,
``modules`` the names that scripts import, ``vision`` and ``yolov3`` those of the vendor's torchvision, ``run`` the
command. ``materialize`` computes what was recorded; the recording itself lies in the room ``recording``. Importing this
loads nothing of torch.
"""
