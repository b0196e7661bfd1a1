//! Traits of the handles, which share one state behind an [`Arc`](std::sync::Arc).

/// Implements `Clone` and `Debug` for a handle, whatever its type parameters are: deriving the traits would demand them of
/// the parameters too. `Debug` shows a field of the shared state, if one is given; credentials, keys and answers do not
/// belong in logs.
macro_rules! handle {
    ($handle:ident<$($parameter:ident),+> $(, $name:literal = $($field:ident).+)?) => {
        impl<$($parameter),+> Clone for $handle<$($parameter),+> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<$($parameter),+> std::fmt::Debug for $handle<$($parameter),+> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($handle))$(.field($name, &self.0.$($field).+))?.finish_non_exhaustive()
            }
        }
    };
}

pub(crate) use handle;
