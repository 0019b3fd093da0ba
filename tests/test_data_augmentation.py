import numpy as np
import tensorflow as tf

from tfmodels.data.augmentation import crop_and_flip, turn_shift_brighten


def shifts(image):
    """All 81 pictures that shifts by up to four pixels make."""
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="reflect")
    return [padded[i : i + 8, j : j + 8] for i in range(9) for j in range(9)]


class Augmentation(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        # Values far enough from 0 and 255 that a change of brightness cuts none off.
        self.image = np.random.default_rng(0).integers(60, 190, (8, 8, 3), dtype="uint8")

    def test_crop_and_flip_is_one_of_the_162_shifts_and_mirrors(self):
        possible = {s[:, ::step].tobytes() for s in shifts(self.image) for step in (1, -1)}
        seen = {
            crop_and_flip(self.image, np.array([0, seed])).numpy().tobytes() for seed in range(300)
        }
        self.assertTrue(seen <= possible)
        self.assertGreater(len(seen), 100)  # 137 expected of 300 draws from 162

    def test_land_is_turned_mirrored_shifted_and_made_brighter_or_darker(self):
        turned = {}  # picture less its mean -> which of the eight it is, and its mean
        for shifted in shifts(self.image):
            for turn in range(8):
                image = np.rot90(shifted, turn % 4)[:, :: 1 if turn < 4 else -1].astype(int)
                turned[(image - image.flat[0]).tobytes()] = turn, image.flat[0]
        turns, changes = [], []
        for seed in range(400):
            image = turn_shift_brighten(self.image, np.array([0, seed]))
            self.assertEqual(image.dtype, tf.uint8)
            values = image.numpy().astype(int)
            turn, first = turned[(values - values.flat[0]).tobytes()]
            turns.append(turn)
            changes.append(values.flat[0] - first)
        self.assertGreater(min(np.bincount(turns, minlength=8)), 25)  # 50 expected of each
        self.assertAllInRange(np.array(changes), -26, 26)
        self.assertLess(min(changes), -22)
        self.assertGreater(max(changes), 22)

    def test_brightness_stops_at_black_and_white(self):
        for value in (0, 255):
            image = np.full((8, 8, 3), value, "uint8")
            seen = [turn_shift_brighten(image, np.array([0, s])).numpy() for s in range(40)]
            self.assertTrue(all(abs(x.astype(int) - value).max() <= 26 for x in seen))

    def test_the_same_seed_gives_the_same_picture(self):
        for augment in (crop_and_flip, turn_shift_brighten):
            self.assertAllEqual(*(augment(self.image, np.array([1, 2])) for _ in range(2)))
