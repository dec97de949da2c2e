"""The commands of `kopilka`, one file each."""
