"""The work on messages: nodes, the wire between them, configuration, the launcher and the commands.

Nothing here knows what a spike is: that is pipeline/'s work. Imports run nodes -> pipeline, never back.
"""

if __name__ == "nodes":
    raise ImportError(
        "this folder is the package dvs_run.nodes, not `nodes`: install the project (`pip install .`) "
        "and import `dvs_run.nodes`"
    )
