"""What the H&M-shaped shop sells: 130 product types in 19 product groups and 21 garment groups.

Every name is ours, in the general words of clothing; the lists are as long as the real data's code tables.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DETAILS", "GARMENT_GROUPS", "MATERIALS", "WOMEN_ONLY", "GarmentGroup", "names"]


def names(text: str) -> tuple[str, ...]:
    """Split a comma-separated list of names that may run over several lines.

    Example:
        >>> names("Vest top, T-shirt")
        ('Vest top', 'T-shirt')
    """
    return tuple(" ".join(name.split()) for name in text.split(","))


@dataclass(frozen=True, kw_only=True)
class GarmentGroup:
    """A family of product types that are made, priced and worn alike."""

    price: float  # typical list price in the shop's currency
    season: float  # > 0 sells in summer, < 0 in winter, 0 all year
    materials: tuple[str, ...]
    types: dict[str, tuple[str, ...]]  # product group -> product types


GARMENT_GROUPS: dict[str, GarmentGroup] = {
    "Jersey Basic": GarmentGroup(
        price=9,
        season=0.1,
        materials=names("soft jersey, cotton jersey, ribbed jersey"),
        types={
            "Upper body": names("""
            T-shirt, Vest top, Long-sleeved top, Tank top, Bodysuit, Crop top, Henley top
        """)
        },
    ),
    "Jersey Fancy": GarmentGroup(
        price=17,
        season=0.1,
        materials=names("printed jersey, sweatshirt fabric, crinkled jersey"),
        types={"Upper body": names("Sweatshirt, Hoodie, Tunic, Wrap top, Peplum top, Bandeau top")},
    ),
    "Blouses": GarmentGroup(
        price=22,
        season=0.2,
        materials=names("airy chiffon, woven viscose, satin"),
        types={"Upper body": names("Blouse, Bow blouse, Smock top, Lace top, Kaftan")},
    ),
    "Shirts": GarmentGroup(
        price=24,
        season=0.0,
        materials=names("cotton poplin, washed linen, Oxford cotton"),
        types={"Upper body": names("Shirt, Polo shirt, Linen shirt, Flannel shirt, Overshirt")},
    ),
    "Knitwear": GarmentGroup(
        price=28,
        season=-0.9,
        materials=names("a fine knit, a chunky wool blend, a cable knit"),
        types={"Upper body": names("Sweater, Cardigan, Turtleneck sweater, Knitted vest, Poncho, Bolero")},
    ),
    "Trousers": GarmentGroup(
        price=27,
        season=0.0,
        materials=names("stretch twill, woven fabric, sturdy cotton"),
        types={"Lower body": names("Trousers, Leggings, Chinos, Joggers, Culottes, Cargo trousers")},
    ),
    "Denim": GarmentGroup(
        price=33,
        season=0.0,
        materials=names("washed denim, rigid denim, superstretch denim"),
        types={
            "Lower body": names("Jeans, Jeggings, Denim skirt"),
            "Outerwear": names("Denim jacket"),
            "Full body": names("Dungarees"),
        },
    ),
    "Shorts": GarmentGroup(
        price=17,
        season=1.3,
        materials=names("cotton twill, light linen, washed cotton"),
        types={"Lower body": names("Shorts, Denim shorts, Bermuda shorts, Paperbag shorts")},
    ),
    "Skirts": GarmentGroup(
        price=22,
        season=0.4,
        materials=names("woven crepe, pleated satin, a cotton weave"),
        types={"Lower body": names("Skirt, Pencil skirt, Pleated skirt, Wrap skirt, Sarong")},
    ),
    "Dresses": GarmentGroup(
        price=31,
        season=0.8,
        materials=names("flowing viscose, cotton voile, crepe jersey"),
        types={"Full body": names("Dress, Maxi dress, Shirt dress, Slip dress, Jumpsuit, Playsuit")},
    ),
    "Tailoring": GarmentGroup(
        price=46,
        season=-0.1,
        materials=names("a wool blend, woven stretch fabric, fine twill"),
        types={
            "Outerwear": names("Blazer, Waistcoat"),
            "Lower body": names("Suit trousers"),
            "Full body": names("Suit"),
            "Accessories": names("Tie, Bow tie, Pocket square"),
        },
    ),
    "Outdoor": GarmentGroup(
        price=57,
        season=-1.2,
        materials=names("padded nylon, water-repellent fabric, a felted wool blend"),
        types={"Outerwear": names("Jacket, Coat, Parka, Padded gilet, Raincoat, Trench coat, Snowsuit")},
    ),
    "Swimwear": GarmentGroup(
        price=16,
        season=1.7,
        materials=names("ribbed swim fabric, quick-drying fabric, recycled polyamide"),
        types={
            "Swimwear": names("""
            Bikini bottoms, Bikini top, Swimsuit, Swim shorts, Beach dress, Rash vest
        """)
        },
    ),
    "Underwear": GarmentGroup(
        price=13,
        season=0.0,
        materials=names("microfibre, soft cotton, delicate lace"),
        types={"Underwear": names("Bra, Briefs, Boxer shorts, Camisole, Shapewear, Thermal top")},
    ),
    "Nightwear": GarmentGroup(
        price=20,
        season=-0.3,
        materials=names("brushed cotton, cool satin, soft fleece"),
        types={"Nightwear": names("Pyjama set, Nightdress, Pyjama trousers, Dressing gown, Sleep mask")},
    ),
    "Socks and Tights": GarmentGroup(
        price=6,
        season=-0.4,
        materials=names("a fine cotton knit, 20 denier yarn, a soft wool knit"),
        types={"Socks and tights": names("Socks, Tights, Ankle socks, Stockings, Leg warmers")},
    ),
    "Shoes": GarmentGroup(
        price=35,
        season=0.0,
        materials=names("imitation leather, canvas, imitation suede"),
        types={
            "Shoes": names("""
            Sneakers, Boots, Sandals, Ballerinas, Pumps, Loafers, Slippers, Wellingtons, Flip-flops
        """)
        },
    ),
    "Accessories": GarmentGroup(
        price=11,
        season=-0.2,
        materials=names("woven fabric, a soft wool blend, recycled polyester"),
        types={
            "Accessories": names("Belt, Hat, Cap, Beanie, Scarf, Gloves, Bandana, Shawl"),
            "Jewellery": names("Earrings, Necklace, Ring, Bracelet"),
        },
    ),
    "Bags": GarmentGroup(
        price=24,
        season=0.0,
        materials=names("grained imitation leather, cotton canvas, quilted nylon"),
        types={"Bags": names("Handbag, Backpack, Clutch bag, Weekend bag, Wallet")},
    ),
    "Activewear": GarmentGroup(
        price=22,
        season=0.1,
        materials=names("fast-drying fabric, seamless stretch fabric, breathable mesh"),
        types={"Sportswear": names("Sports tights, Training top, Sports bra, Running jacket")},
    ),
    "Beauty and Home": GarmentGroup(
        price=10,
        season=-0.2,
        materials=names("a gift box, a matching set, a limited edition"),
        types={
            "Cosmetics": names("Nail polish, Lipstick"),
            "Home textiles": names("Towel, Blanket"),
            "Home decoration": names("Candle, Vase"),
            "Stationery": names("Notebook"),
            "Garment care": names("Clothes brush"),
            "Toys": names("Soft toy"),
        },
    ),
}

WOMEN_ONLY: frozenset[str] = frozenset(
    names("""
        Ballerinas, Bandeau top, Beach dress, Bikini bottoms, Bikini top, Bodysuit, Bolero, Bra, Camisole,
        Clutch bag, Crop top, Culottes, Denim skirt, Jeggings, Kaftan, Nightdress, Peplum top, Pumps,
        Shapewear, Sports bra, Stockings, Swimsuit, Tunic, Wrap top
    """)
)
"""Product types that only the women's and youth sections sell."""

MATERIALS: dict[str, tuple[str, ...]] = {
    "Jewellery": names("metal, gold-coloured metal, metal and glass"),
    "Home textiles": names("cotton terry, soft fleece, waffle cotton"),
    "Home decoration": names("clear glass, glazed stoneware, coloured glass"),
    "Toys": names("soft plush, organic cotton"),
}
"""Product groups made of something else than the rest of their garment group."""

DETAILS: dict[str, tuple[str, ...]] = {
    "Upper body": names("""
        a round neckline, a V-shaped neckline, short sleeves, long sleeves, dropped shoulders, a
        straight-cut hem, buttons down the front, a chest pocket
    """),
    "Lower body": names("""
        a high waist, an elasticated waist, side pockets, a zip fly, a raw-edge hem, a narrow cut
    """),
    "Full body": names("""
        a fitted waist, narrow shoulder straps, a concealed zip at the back, a flared skirt, short
        sleeves
    """),
    "Outerwear": names("""
        a stand-up collar, notch lapels, a detachable hood, flap pockets, a quilted lining
    """),
    "Shoes": names("a chunky sole, adjustable lacing, an ankle strap, a cushioned insole, a padded edge"),
    "Accessories": names("fringed edges, a soft lining, a woven label, an embroidered motif"),
    "Jewellery": names("glass stones, a lobster clasp, an adjustable length, small pendants"),
    "Bags": names("a magnetic fastener, a detachable strap, an inner pocket, a zip at the top"),
    "Underwear": names("lace details, an elasticated hem, padded cups, a lined front"),
    "Nightwear": names("a drawstring waist, a printed motif, piped edges, a tie belt"),
    "Socks and tights": names("an elasticated top, reinforced toes, a soft finish"),
    "Swimwear": names("removable inserts, ties at the sides, a full lining, a drawstring waist"),
    "Sportswear": names("reflective details, flatlock seams, a wide waistband, a key pocket"),
    "Cosmetics": names("a long-lasting finish, a light scent"),
    "Home textiles": names("a hanging loop, hemmed edges"),
    "Home decoration": names("a matt surface, a gentle scent"),
    "Stationery": names("a hard cover, lined pages"),
    "Garment care": names("a wooden handle, soft bristles"),
    "Toys": names("embroidered eyes, a soft filling"),
}
"""What a product of each product group may have, for its description."""
