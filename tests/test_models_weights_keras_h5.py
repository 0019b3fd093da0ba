import keras
import numpy as np
import pytest

from tfmodels.errors import RunError
from tfmodels.models.alexnet import alexnet_bvlc
from tfmodels.models.mobilenet import mobilenetv2
from tfmodels.models.weights.keras_h5 import read_h5
from tfmodels.models.weights.setting import set_weights


def randomized(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.random(weight.shape, "float32") for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("build", [mobilenetv2, alexnet_bvlc])
def test_a_networks_own_file_gives_every_weight_back(build, tmp_path):
    path = tmp_path / "x.weights.h5"
    saved = randomized(build(image_size=67))
    if build is mobilenetv2:  # as ModelCheckpoint leaves it, with the state of the optimizer
        saved.compile("adam")
        saved.optimizer.build(saved.trainable_variables)
    saved.save_weights(path)
    model = build(image_size=67)
    set_weights(model, read_h5(path, model), path)
    for ours, theirs in zip(model.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_keras_applications_own_file_without_a_top(tmp_path):
    path = tmp_path / "no_top.weights.h5"
    theirs = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), include_top=False, weights=None
    )
    randomized(theirs).save_weights(path)
    model = mobilenetv2(image_size=64)
    classifier = np.array(model.get_layer("logits").kernel)
    set_weights(model, read_h5(path, model), path)
    backbone = model.get_layer("mobilenetv2")
    for ours, weight in zip(backbone.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, weight)
    np.testing.assert_array_equal(model.get_layer("logits").kernel, classifier)


def test_a_file_of_another_network_is_refused_with_what_differs(tmp_path):
    path = tmp_path / "x.weights.h5"
    alexnet_bvlc(image_size=67).save_weights(path)
    model = mobilenetv2(image_size=64)
    with pytest.raises(RunError, match=r"missing: .*extra: layers/conv2d.*of another shape: Conv1"):
        set_weights(model, read_h5(path, model), path)
