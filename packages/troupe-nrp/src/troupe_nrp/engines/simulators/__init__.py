"""The simulators that scripts step, one file each; to add one, copy `bullet`."""
