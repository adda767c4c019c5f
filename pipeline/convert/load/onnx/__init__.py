"""ONNX files as torch modules of ordinary layers.

    read.py       the whole of it
    file.py       the file as plain Python, checked
    ops.py        what each operation becomes in torch: the table, and arithmetic; layers.py has those with weights and
                  pools, shapes.py those that move values, constants.py what does not depend on the input
    node.py       one operation as its rule sees it
    build.py      the module under construction

A package of this name does not hide the library: `import onnx` is absolute, here as anywhere.
"""
