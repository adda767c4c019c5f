"""How fast the engine is, beside dense baselines and the SNN libraries, on one core of this machine.

    python -m benchmarks.engine --out benchmarks/results/engine.json --plot docs/engine.png

What is run is in workloads.py, who runs it in dense.py, libraries.py and ours.py, how it is timed in timing.py, and
what "exact" means in twin.py. docs/performance.md tells the method and the result.
"""
