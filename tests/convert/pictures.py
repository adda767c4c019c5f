"""Labelled pictures for small CNNs, and weights that tell them apart without a training. Seeded.

One grating per class at a random place, a bright spot, noise. Uniform noise would not do: every layer behind the first
averages it away, and all inputs look alike.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def pictures(n: int, shape: tuple[int, int, int], seed: int, classes: int = 6) -> tuple[Tensor, Tensor]:
    """n pictures float32 (n, *shape) and their classes int64 (n,), every class equally often. A class is an angle of
    the grating and the channel that it is strongest in; where it lies, how fine and how strong it is are by chance."""
    random = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    label = torch.arange(n) % classes
    angle = label * torch.pi / classes
    fineness = (0.8 + 0.4 * torch.rand(n, generator=random)) * 2 * torch.pi * 3 / width
    phase = torch.rand(n, generator=random) * 2 * torch.pi
    contrast = 0.3 + 0.5 * torch.rand(n, generator=random)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    along = angle.cos().view(-1, 1, 1) * x + angle.sin().view(-1, 1, 1) * y
    wave = torch.sin(fineness.view(-1, 1, 1) * along + phase.view(-1, 1, 1)) * contrast.view(-1, 1, 1)
    colour = torch.full((n, channels), 0.4)
    colour[torch.arange(n), label % channels] = 1.0
    image = 0.5 + 0.5 * wave[:, None] * colour[:, :, None, None]
    spot_y, spot_x = torch.rand(2, n, 1, 1, generator=random) * torch.tensor([height, width]).view(2, 1, 1, 1)
    image += 0.5 * torch.exp(-((y - spot_y) ** 2 + (x - spot_x) ** 2) / (0.02 * height * width))[:, None]
    image += 0.05 * torch.randn(n, *shape, generator=random)
    return image.clamp(0, 1), label


def ready(
    model: nn.Module,
    images: Tensor,
    label: Tensor,
    seed: int = 0,
    before: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """The model with Kaiming weights, small random biases, batch norms of random gains and shifts (none folds to the
    identity), what `before` does to it, statistics of the images, and its last layer fitted to the classes. The last
    layer is the nn.Linear (or 1x1 conv) that was made last.
    """
    random = torch.Generator().manual_seed(seed)
    head = None
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            head = module if isinstance(module, nn.Linear) or module.kernel_size == (1, 1) else head
            if not nn.utils.parametrize.is_parametrized(module):
                module.weight.data = _normal(random, module.weight) * (2 / module.weight[0].numel()) ** 0.5
            if module.bias is not None:
                module.bias.data = _normal(random, module.bias) * 0.1
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
            module.weight.data = torch.rand(module.weight.shape, generator=random) + 0.5
            module.bias.data = _normal(random, module.bias) * 0.3
    with torch.no_grad():
        if before is not None:
            before(model)
        fit_norms(model, images)
        if head is not None:
            _fit_head(model, head, images, label)
            fit_norms(model, images)  # one may stand behind the head
    return model


def _normal(random: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=random)


def fit_norms(model: nn.Module, images: Tensor) -> None:
    """Set the statistics of all batch norms to those of the images; nothing else, and the model in eval mode."""
    norms = [module for module in model.eval().modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches, here one
        norm.train()
    with torch.no_grad():
        model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def _fit_head(model: nn.Module, head: nn.Linear, images: Tensor, label: Tensor) -> None:
    """Ridge regression of the classes (1 or 0, less their mean) on what reaches the last layer."""
    seen = []
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].double()))
    model(images)
    hook.remove()
    features = seen[0].mean((2, 3)) if seen[0].ndim == 4 else seen[0]  # a 1x1 conv may stand before a global pool
    target = torch.eye(int(label.max()) + 1, dtype=torch.float64)[label]
    target -= target.mean(0)
    middle = features.mean(0) if head.bias is not None else torch.zeros(features.shape[1], dtype=torch.float64)
    spread = features - middle
    # Of the two Gram matrices the smaller: of the pictures.
    gram = spread @ spread.T
    ridge = (1e-3 * gram.trace() + 1e-12) * torch.eye(len(gram), dtype=torch.float64)
    weight = target.T @ torch.linalg.solve(gram + ridge, spread)  # (class, feature)
    if weight.numel() == head.weight.numel():
        head.weight.data = weight.float().view(head.weight.shape)
        if head.bias is not None:
            head.bias.data = -(weight @ middle).float()
