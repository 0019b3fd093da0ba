import keras
import numpy as np
import pytest

from tfmodels.errors import UsageError
from tfmodels.models.mobilenet import mobilenetv2


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return mobilenetv2((64, 64, 3), 10, 64)


def test_parameters(model):
    # keras.applications: 2,257,984 without the classifier.
    assert model.get_layer("mobilenetv2").count_params() == 2_257_984
    assert model.count_params() == 2_257_984 + 1280 * 10 + 10


def test_preprocessing_is_keras_applications_own(model):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype("float32")
    expected = keras.applications.mobilenet_v2.preprocess_input(pixels.copy())
    np.testing.assert_allclose(model.get_layer("rescale")(pixels), expected, atol=1e-6)


def test_batch_norms_follow_a_short_run_also_after_saving(model, tmp_path):
    model.save(tmp_path / "model.keras")
    for network in (model, keras.models.load_model(tmp_path / "model.keras")):
        norms = [
            layer
            for layer in network.get_layer("mobilenetv2").layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        assert len(norms) == 52
        assert {layer.momentum for layer in norms} == {0.9}


def test_it_takes_pictures_of_another_size_and_the_smallest_itself():
    model = mobilenetv2((64, 64, 3), 3, 32)
    assert model.get_layer("mobilenetv2").output.shape == (None, 1, 1, 1280)
    with pytest.raises(UsageError, match="a whole number from 32 up"):
        mobilenetv2((64, 64, 3), 3, 31)
