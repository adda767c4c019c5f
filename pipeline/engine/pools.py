from ..kernel_cache import kernel


@kernel
def pool_spikes(step, stages, s, pools, groups, spikes, n_groups, estimate, emitted, dirty):
    n_groups[s] = 0
