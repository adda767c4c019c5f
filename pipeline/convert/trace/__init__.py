"""From a torch module to a Cnn: torch.fx follows the model; each operation has a rule or is refused by name.

graph.py        walks the graph of a model; record.py traces it, aliases.py knows what lies in one memory
catalogue.py    one row an operation: which rule it has
layers.py, curves.py, shapes.py, arithmetic.py    the rules: of weights and pools, of activations, of what moves
                values, of sums and constants; each gets a Step (step.py) and its input as Data (data.py)
refusals.py     what has no rule, and the way out
builder.py      CnnBuilder: takes operations one by one, folds them at the end
"""
