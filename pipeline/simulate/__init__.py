"""A simulated event camera, and scenes to put before it.

For training code: `gesture.simulate_gesture(label_index, seed, person, lighting, duration_us, start_us=0)`,
`gesture.CLASSES`, and `saccade.simulate_saccade(image, seed)`. For frames of one's own: `pixel.Camera`.
"""
