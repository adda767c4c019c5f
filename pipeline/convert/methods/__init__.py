"""The rules of a conversion that need more than one setting: each a module here, each named in the provenance.

    pools.py      other pools than the CNN's: averages for maxima, averages before the neurons, averages that spike
    balance.py    scales that calibration activations do not give: from weights alone, from spikes, shared by a sum
    start.py      where membranes begin, and how long deep layers wait
    correct.py    biases and starts corrected after the conversion, so that mean rates are the CNN's
    counts.py     the network on spike counts, without time
    presets.py    settings of published systems, by name
    trains.py     the spikes of a network on calibration data, layer by layer

`Method` (../method.py) holds the settings, conversion.py calls the rules in this order.
"""
