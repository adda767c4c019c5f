"""Published systems as settings, by name: Method.preset("ecc2022"). Each says what it sets and what is not certain.

They are the settings, on our neurons and our exact import; the systems' own code may differ in what a paper leaves out.
"[mem]" marks what is told from memory of the paper and was not checked against its text or code.
"""

from dataclasses import dataclass, replace

from ...errors import ConversionError
from ..method import Method


@dataclass(frozen=True)
class Preset:
    name: str
    method: Method
    paper: str
    note: str  # what it sets, and what is uncertain


PRESETS = (
    Preset(
        "standard",
        Method(per="channel", threshold_scale=1 / 4, max_spikes=64, signed_parts=4),
        "ours, on the burst spikes of Sorbaro et al. 2020",
        "What is done unasked. A spike stands for a quarter of a channel's scale, up to 64 a timestep, so that nothing "
        "saturates: as right after 32 timesteps as single spikes after 128, for about as many operations.",
    ),
    Preset(
        "single",
        Method(),
        "Rueckauer et al. 2016 and 2017, with Wu et al.'s start at half the threshold",
        "One spike of a neuron in a timestep, which is all that most neuromorphic chips and other simulators know.",
    ),
    Preset(
        "cao2015",
        Method(
            normalization="none",
            reset="zero",
            v_init=0.0,
            input="poisson",
            max_pools="average",
            readout="count",
        ),
        "Cao, Chen & Khosla, Spiking deep convolutional neural networks for energy-efficient object recognition, 2015",
        "Poisson input, reset to zero, no normalization [mem], averages in the place of maxima, output spikes counted. "
        "The paper trains without biases; a CNN with biases is converted with them all the same.",
    ),
    Preset(
        "diehl2015",
        Method(percentile=100, reset="zero", v_init=0.0, input="poisson", form="thresholds", readout="count"),
        "Diehl et al., Fast-classifying, high-accuracy spiking deep networks through weight balancing, 2015",
        "Data-based balancing to the largest activation, in the thresholds, reset to zero, Poisson input, output "
        "spikes counted. Model-based: replace(method, normalization='weights'). Reset to zero is [mem]; it has no "
        "biases.",
    ),
    Preset(
        "rueckauer2016",
        Method(v_init=0.0, pool_rule="fir", readout="softmax_poisson"),
        "Rueckauer et al., Theory and tools for the conversion of analog to spiking convolutional networks, 2016",
        "Percentile 99.9 with biases, reset by subtraction, constant current, gated max pools, softmax drawn on an "
        "external Poisson generator. Whether its percentile counts zeros is not known; here it does.",
    ),
    Preset(
        "rueckauer2017",
        Method(v_init=0.0, pool_rule="fir", readout="softmax_rate"),
        "Rueckauer et al., Conversion of continuous-valued deep networks to efficient event-driven networks, 2017",
        "As rueckauer2016, with the softmax rate readout. For networks as deep as Inception-v3 it also clamps: "
        "replace(method, clamp_steps=10), about 10 timesteps a layer [mem].",
    ),
    Preset(
        "sengupta2019",
        Method(
            normalization="spikes",
            balance_timesteps=128,
            v_init=0.0,
            form="thresholds",
            input="poisson",
            residual="shared",
        ),
        "Sengupta et al., Going deeper in spiking neural networks: VGG and residual architectures, 2019",
        "Thresholds balanced layer by layer on the spikes of the network so far, Poisson input; 2,500 timesteps in the "
        "paper. Reset by subtraction and the shared scale of residual blocks are [mem].",
    ),
    Preset(
        "han2020",
        Method(percentile=100, v_init=0.0, form="thresholds", threshold_scale=0.8),
        "Han, Srinivasan & Roy, RMP-SNN: residual membrane potential neuron, 2020",
        "Reset by subtraction, thresholds balanced to the maximum and scaled. The factor 0.8 is [mem]; the paper "
        "chooses one per network, so try several on training data.",
    ),
    Preset(
        "lu2020",
        Method(percentile=99.7, v_init=0.0),
        "Lu & Sengupta, Exploring the connection between binary and spiking neural networks, 2020",
        "Percentile 99.7 over all activations, constant current, last layer integrates. Its networks are trained with "
        "the pool before the ReLU and need nothing for it; average_pools='before' does it to others, as another CNN.",
    ),
    Preset(
        "ecc2022",
        Method(percentile=100, v_init=0.5, average_pools="neurons", residual="shared"),
        "Wu, Yi & Huang, A little energy goes a long way, 2022",
        "Current normalization to the largest activation (its factor kappa cancels), start at half the threshold (TRE, "
        "beta 0.5), batch norm with its own epsilon (CMB, always), average pools that spike, one scale for a residual "
        "block. Their own figures are of spike counts without time: count_form.",
    ),
    Preset(
        "calibrated",
        Method(per="channel", percentile=99.9, correction="both", correction_timesteps=32),
        "after Li et al., A free lunch from ANN: towards efficient, accurate spiking neural networks calibration, 2021",
        "A scale per channel, then starts and biases corrected so that mean rates are the CNN's after 32 timesteps. "
        "Theirs corrects per layer with its own search of thresholds; set correction_timesteps to the T you run.",
    ),
    Preset(
        "burst",
        Method(per="channel", percentile=100, threshold_scale=0.125, max_spikes=32),
        "Sorbaro et al. 2020 and later work on burst spikes",
        "Up to 32 spikes of a neuron in one timestep, and spikes that stand for an eighth of the largest activation: "
        "few timesteps, more spikes. The figures 32 and 1/8 are ours.",
    ),
    Preset(
        "fine",
        Method(per="channel", threshold_scale=1 / 32, max_spikes=128, signed_parts=4),
        "ours, on the burst spikes of Sorbaro et al. 2020",
        "A spike stands for a 32nd of a channel's scale, up to 128 a timestep, so that four times the scale does "
        "not saturate: the most exact of the conversion matrix, at about 40 times the operations of single spikes in "
        "a timestep, of which it needs a few.",
    ),
)
NAMES = tuple(preset.name for preset in PRESETS)


def preset(name: str) -> Preset:
    """One of PRESETS. Raises ConversionError for an unknown name."""
    for known in PRESETS:
        if known.name == name:
            return known
    raise ConversionError(f"there is no preset {name!r}; known are {', '.join(NAMES)}")


def name_of(method: Method) -> str:
    """The preset that these settings are, "" if none. What the CNN itself asks for is no setting of a preset."""
    for known in PRESETS:
        if replace(method, lambdas=known.method.lambdas, stepped=known.method.stepped) == known.method:
            return known.name
    return ""
