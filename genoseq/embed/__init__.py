"""From sequence to codes: content anchors and the windows around them."""
