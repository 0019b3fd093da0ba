import numpy as np
import tensorflow as tf

from tfmodels.data.augmentation import crop_and_flip
from tfmodels.data.pipeline import evaluation_batches, training_batches


def epoch(batches):
    images, labels = zip(*batches, strict=True)
    return np.concatenate(images), np.concatenate(labels)


class Pipeline(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        from tfmodels.data.images import Split

        images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype="uint8")
        self.images = images
        dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(50)))
        self.split = Split(dataset, np.arange(50).astype(str), np.arange(50))

    def test_an_epoch_holds_every_example_once_with_its_label(self):
        images, labels = epoch(training_batches(self.split, 16, seed=0))
        self.assertAllEqual(np.sort(labels), np.arange(50))
        self.assertAllEqual(images, self.images[labels])

    def test_order_changes_with_epoch_and_seed_and_nothing_else(self):
        batches = training_batches(self.split, 16, seed=5)
        first, second = epoch(batches)[1], epoch(batches)[1]
        again = training_batches(self.split, 16, seed=5)
        self.assertAllEqual(first, epoch(again)[1])
        self.assertAllEqual(second, epoch(again)[1])
        self.assertNotAllEqual(first, second)
        self.assertNotAllEqual(first, epoch(training_batches(self.split, 16, seed=6))[1])

    def test_batch_sizes(self):
        sizes = [len(labels) for _, labels in training_batches(self.split, 16)]
        self.assertEqual(sizes, [16, 16, 16, 2])

    def test_evaluation_keeps_pictures_and_order(self):
        images, labels = epoch(evaluation_batches(self.split, 16))
        self.assertAllEqual(images, self.images)
        self.assertAllEqual(labels, np.arange(50))

    def test_augmentation_is_repeatable_and_new_each_epoch(self):
        batches = training_batches(self.split, 16, seed=0, augment=crop_and_flip)
        first, second = epoch(batches), epoch(batches)
        again = training_batches(self.split, 16, seed=0, augment=crop_and_flip)
        self.assertAllEqual(first[0], epoch(again)[0])
        self.assertAllEqual(second[0], epoch(again)[0])
        order = np.argsort(first[1]), np.argsort(second[1])
        self.assertNotAllEqual(first[0][order[0]], second[0][order[1]])
        self.assertDTypeEqual(first[0], np.uint8)
