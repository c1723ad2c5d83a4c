//! A future that is done before it is asked, for what had to be warmed and was warm.

use std::pin::Pin;
use std::task::{Context, Poll};

use trunkline_core_types::BoxFuture;

/// Boxing it allocates nothing, since it holds nothing.
pub(crate) fn nothing_to_do() -> BoxFuture<'static, ()> {
    Box::pin(Done)
}

struct Done;

impl Future for Done {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
