"""What this machine is: accelerators, processor, memory and disks, each figure with its source.

    from gemmahub.hardware.probe import probe_machine
    from gemmahub.hardware.simulate import parse_size, simulate_machine

Reads files and asks drivers, never the network; measures nothing unless asked to.
"""
