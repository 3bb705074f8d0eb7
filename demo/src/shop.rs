//! The shop of the demonstration's origin server: products, prices that rise, pages that take time
//! to render.
//!
//! It does no I/O: it returns the render time of a page, and the origin server waits.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// All products, numbered from 0.
#[derive(Debug)]
pub(super) struct Shop {
    products: Vec<Product>,
}

#[derive(Debug)]
struct Product {
    /// Only rises, so that of two prices the older one is known.
    price: AtomicU64,
    renders: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cents(pub(super) u64);

/// A page that is being rendered: with the price of the moment it began, as renderers do.
#[derive(Debug)]
pub(super) struct Render {
    number: usize,
    price: Cents,
    pub(super) takes: Duration,
}

impl Shop {
    pub(super) fn new(products: usize) -> Self {
        let product = |number| Product {
            price: AtomicU64::new(500 + scatter(number) % 2000),
            renders: AtomicU64::new(0),
        };
        Self { products: (0..products as u64).map(product).collect() }
    }

    /// Begins to render the page of a path: `/p/N` in 50 to 150 ms, `/slow/N` in 600 ms; other
    /// pages there are none.
    pub(super) fn render(&self, path: &str) -> Option<Render> {
        let (number, is_slow) = match path.strip_prefix("/slow/") {
            Some(number) => (number, true),
            None => (path.strip_prefix("/p/")?, false),
        };
        let number: usize = number.parse().ok()?;
        let product = self.products.get(number)?;
        let renders = product.renders.fetch_add(1, Ordering::Relaxed);
        let takes = if is_slow { SLOW } else { brisk(number as u64 + renders) };
        Some(Render { number, price: product.price(), takes })
    }

    /// The price of a product now; zero when there is no such product.
    pub(super) fn price(&self, number: usize) -> Cents {
        self.products.get(number).map_or_else(Cents::default, Product::price)
    }

    pub(super) fn raise(&self, number: usize) -> Cents {
        if let Some(product) = self.products.get(number) {
            let before = product.price.load(Ordering::Relaxed);
            product.price.fetch_add(10 + scatter(before) % 150, Ordering::Relaxed);
        }
        self.price(number)
    }

    pub(super) fn renders(&self, number: usize) -> u64 {
        self.products.get(number).map_or(0, |product| product.renders.load(Ordering::Relaxed))
    }

    /// Returns the number of renders of the pages from this product's on.
    pub(super) fn renders_from(&self, number: usize) -> u64 {
        let products = self.products.iter().skip(number);
        products.map(|product| product.renders.load(Ordering::Relaxed)).sum()
    }
}

impl Product {
    fn price(&self) -> Cents {
        Cents(self.price.load(Ordering::Relaxed))
    }
}

impl Render {
    pub(super) fn tags(&self) -> String {
        format!("product-{} category-{}", self.number, self.number % CATEGORIES)
    }

    pub(super) fn html(&self) -> String {
        let Self { number, price, .. } = self;
        let related: Vec<_> = (1..=RELATED)
            .map(|step| number + step)
            .map(|other| format!("  <li><a href=\"/p/{other}\">Product {other}</a></li>"))
            .collect();
        format!(
            "<!doctype html>\n<title>Product {number}</title>\n<h1>Product {number}</h1>\n\
             <p>Price: <data value=\"{}\">{price}</data></p>\n<ul>\n{}\n</ul>\n",
            price.0,
            related.join("\n")
        )
    }
}

impl Cents {
    pub(super) fn on_page(html: &[u8]) -> Option<Self> {
        let (_, after) = std::str::from_utf8(html).ok()?.split_once("<data value=\"")?;
        let (digits, _) = after.split_once('"')?;
        digits.parse().ok().map(Self)
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// 50 to 150 ms, another one for each render.
fn brisk(seed: u64) -> Duration {
    Duration::from_millis(50 + scatter(seed) % 101)
}

/// Spreads numbers evenly, the same way in every run.
const fn scatter(number: u64) -> u64 {
    number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

const SLOW: Duration = Duration::from_millis(600);
const CATEGORIES: usize = 20;
const RELATED: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_the_price_of_the_moment_its_render_began() {
        let shop = Shop::new(10);
        let before = shop.price(7);

        let render = shop.render("/p/7").unwrap();
        let after = shop.raise(7);

        assert!(after > before, "{after} after {before}");
        assert_eq!(Cents::on_page(render.html().as_bytes()), Some(before));
        assert_eq!(render.tags(), "product-7 category-7");
        assert_eq!(shop.renders(7), 1);
    }

    #[test]
    fn pages_take_what_renderers_take() {
        let shop = Shop::new(1000);
        for number in 0..1000 {
            let takes = shop.render(&format!("/p/{number}")).unwrap().takes;
            assert!((50..=150).contains(&takes.as_millis()), "{takes:?}");
        }
        assert_eq!(shop.render("/slow/7").unwrap().takes, SLOW);
    }

    #[test]
    fn other_paths_are_no_pages() {
        let shop = Shop::new(10);
        for path in ["/", "/p/", "/p/10", "/p/-1", "/slow/x", "/q/1"] {
            assert!(shop.render(path).is_none(), "{path}");
        }
    }
}
