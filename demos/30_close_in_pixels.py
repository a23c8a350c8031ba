# %% [markdown]
# # Close in pixels: which samples count as an explanation?
# %%
"""A shifted digit looks the same and is far away: why a draw must come extremely close to count for p(x).

Claim. For pixels with Gaussian noise log p(x | z) is minus half the squared distance, over sigma^2. Move a
digit by one pixel of eight, and for every one of the 1797 digits the result is farther away than some digit
of *another* class, and typically as far as a digit taken at random. A likelihood that tells classes apart
needs a small sigma, and then hardly any draw of the prior explains x: why prior sampling fails on images.

Formula:

    log p(x | z) = -||x - f(z)||^2 / (2 sigma^2) - D/2 log(2 pi sigma^2)

Source: Doersch (2016), Tutorial on variational autoencoders, section 2 and figure 3.
Expected time: two seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab.datasets import load
from elbo_lab.plots import STYLE, figure_folder, new_figure, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
DIGITS = load("digits:raw")
X = DIGITS.x / 16  # ink from 0 to 1
SHOWN = 2  # row of the digit that is drawn
SIGMA = 0.3  # of the pixel noise

# %% Squared distances of every digit to all others, and to itself moved right by one pixel
images = X.reshape(-1, 8, 8)
moved = np.zeros_like(images)
moved[:, :, 1:] = images[:, :, :-1]
moved = moved.reshape(len(X), -1)
to_moved = ((X - moved) ** 2).sum(axis=1)
squares = (X**2).sum(axis=1)
between = np.maximum(squares[:, None] + squares - 2 * X @ X.T, 0.0)
same_class = DIGITS.labels[:, None] == DIGITS.labels
itself = np.eye(len(X), dtype=bool)
to_same = np.where(same_class & ~itself, between, np.inf).min(axis=1)
to_other = np.where(same_class, np.inf, between).min(axis=1)
to_any = between[~itself]
print("squared distance, median over digits")
print(f"  to the nearest digit of its own class  {np.median(to_same):5.2f}")
print(f"  to the nearest digit of another class  {np.median(to_other):5.2f}")
print(f"  to any other digit                     {np.median(to_any):5.2f}")
print(f"  to itself, moved by one pixel          {np.median(to_moved):5.2f}")
farther = (to_moved > to_other).mean()
nats = (np.median(to_moved) - np.median(to_other)) / (2 * SIGMA**2)
print(f"moved is farther than another class for {farther:.0%} of the digits")
print(f"between the two medians lie {nats:.0f} nats of log p(x | z) at sigma = {SIGMA}")

# %% The figure: one digit and three candidates above, all digits below
figure = new_figure(6.2)
above, below = figure.subfigures(2, 1, height_ratios=(2.4, 3.4))
nearest = np.where(same_class[SHOWN], np.inf, between[SHOWN]).argmin()
close = np.where(same_class[SHOWN] & ~itself[SHOWN], between[SHOWN], np.inf).argmin()
candidates = {
    "x": X[SHOWN],
    "another of its class": X[close],
    f"the nearest {DIGITS.labels[nearest]}": X[nearest],
    "x, one pixel right": moved[SHOWN],
}
for ax, (name, image) in zip(above.subplots(1, 4), candidates.items(), strict=True):
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    distance = ((image - X[SHOWN]) ** 2).sum()
    words = f"{name}\ndistance² {distance:.1f}"
    ax.set_title(words, fontsize=STYLE["label_size"], color=STYLE["ink"])
ax = below.subplots()
xlabel = "squared distance (ink from 0 to 1, 64 pixels)"
style_axes(ax, title="All 1797 digits", xlabel=xlabel, ylabel="digits per unit of distance²")
kinds = {
    "nearest of its class": (to_same, "#117733"),
    "nearest of another class": (to_other, "#BB5566"),
    "itself, moved one pixel": (to_moved, "#004488"),
}
for name, (distances, color) in kinds.items():
    heights, edges = np.histogram(distances, np.arange(0.0, 16.2, 0.4))
    ax.stairs(heights / 0.4, edges, fill=True, color=color, alpha=0.4)
    place = (edges[heights.argmax() + 1], heights.max() / 0.4)
    note = {"xytext": (4, 4), "textcoords": "offset points", "fontsize": STYLE["label_size"]}
    ax.annotate(name, place, color=color, **note)
ax.set(xlim=(0, 16), ylim=(0, 1900))
caption = (
    "A digit, its copy moved by one pixel, and other digits, by squared distance: the moved copy is farther "
    "away than some digit of another class. Below, the same distances for all 1797 digits."
)
print("figure:", save_figure(figure, OUT, "close-in-pixels", caption)[0])

# %% The claim
assert (to_moved > to_other).all(), "for every digit another class is nearer than itself, moved"
assert np.median(to_moved) > 0.9 * np.median(to_any), "moved is about as far as any digit"
assert np.median(to_same) < 0.5 * np.median(to_other), "yet its own class is nearest in pixels too"
