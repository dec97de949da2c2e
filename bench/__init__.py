"""Measurements that anyone can run again: `make bench` compares, in one run, ours with what is known."""
