import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.episodes.store.conftest import made
from troupe.core import UserError
from troupe.episodes.store import StoreSchema
from troupe.episodes.store.images import decode, default_encoding, encode

KINDS = ["uint8", "uint16", "int32", "int64", "float32", "float64", "bool"]


@given(
    st.sampled_from(KINDS).flatmap(
        lambda kind: hnp.arrays(
            kind,
            st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([0, 1, 2, 3, 4])).map(
                lambda shape: shape[:2] if shape[2] == 0 else shape
            ),
        )
    )
)
def test_what_is_encoded_by_default_comes_back_exactly(image):
    encoding = default_encoding(image.shape, image.dtype)
    back = decode(encode(image, encoding), encoding, image.shape, image.dtype)
    assert back.dtype == image.dtype
    assert back.tobytes() == image.tobytes()


def test_depth_in_millimetres_and_jpeg_are_near():
    depth = np.linspace(0, 65.535, 12, dtype=np.float32).reshape(3, 4)
    back = decode(encode(depth, "png-mm"), "png-mm", depth.shape, depth.dtype)
    np.testing.assert_allclose(back, depth, atol=0.0005)
    with pytest.raises(ValueError, match=r"65\.535 m"):
        encode(depth + 1, "png-mm")
    smooth = np.broadcast_to(np.arange(0, 160, 10, dtype=np.uint8)[:, None], (16, 16))
    near = decode(encode(smooth, "jpeg"), "jpeg", smooth.shape, smooth.dtype)
    np.testing.assert_allclose(near.astype(int), smooth, atol=6)


def test_encodings_are_checked():
    with pytest.raises(
        UserError, match=r"unknown encoding 'gif'\. Valid: jpeg, planes, png, png-mm"
    ):
        StoreSchema.of(made(0), {"top.rgb": "gif"})
    with pytest.raises(UserError, match=r"encodings.top.depth: jpeg cannot hold float32"):
        StoreSchema.of(made(0), {"top.depth": "jpeg"})
    with pytest.raises(UserError, match=r"unknown image 'side\.rgb'"):
        StoreSchema.of(made(0), {"side.rgb": "png"})
